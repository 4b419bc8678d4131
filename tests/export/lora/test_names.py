"""Names of SDXL's and FLUX's layers in files of kohya and xlabs, against diffusers' converters.

Networks are on the device meta: their shapes are the real ones where a converter knows them by
heart, and no weight of them exists.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.loaders import lora_conversion_utils as theirs
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from denoisert.export.lora.file import open_lora
from denoisert.export.lora.fit import fit_file
from denoisert.export.lora.lora import Lora
from denoisert.export.lora.original import original_names
from denoisert.export.lora.places import Site
from tests.export.lora.drawn import draw, kohya, saved

SDXL = {
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 3),
    "attention_head_dim": (2, 4, 4),
    "layers_per_block": 2,
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
}
SD15 = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 8, "cross_attention_dim": 8}
# What Stability AI's config of SD 1.x and SDXL calls them, read off the checkpoints' key lists.
KNOWN_SD15 = {
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q": (
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    ),
    "input_blocks.3.0.op": "down_blocks.0.downsamplers.0.conv",
    "input_blocks.11.0.out_layers.3": "down_blocks.3.resnets.1.conv2",
    "middle_block.1.proj_in": "mid_block.attentions.0.proj_in",
    "middle_block.2.in_layers.2": "mid_block.resnets.1.conv1",
    "output_blocks.2.1.conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks.5.2.conv": "up_blocks.1.upsamplers.0.conv",
    "output_blocks.11.0.skip_connection": "up_blocks.3.resnets.2.conv_shortcut",
    "time_embed.2": "time_embedding.linear_2",
    "out.2": "conv_out",
}
INPUTS = 5
FLUX = {"num_layers": 2, "num_single_layers": 2, "guidance_embeds": True}  # at its real width


def on_meta(kind: type, config: object) -> nn.Module:
    with torch.device("meta"):
        return kind(**config) if isinstance(config, dict) else kind(config)


@pytest.fixture(scope="module")
def sdxl() -> nn.Module:
    return on_meta(UNet2DConditionModel, SDXL)


@pytest.fixture(scope="module")
def flux() -> nn.Module:
    return on_meta(FluxTransformer2DModel, FLUX)


def paths_of(network: nn.Module) -> list[str]:
    kinds = nn.Linear | nn.Conv2d
    return [path for path, layer in network.named_modules() if isinstance(layer, kinds)]


def few(key: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor, of the down matrices a few inputs only: the rest is the same arithmetic."""
    return value[:, :INPUTS] if "down" in key or "lora_A" in key else value


def products(path: Path, component: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """Layer -> its change, as this package reads the file."""
    found: dict[str, torch.Tensor] = {}
    changes = fit_file(open_lora(Lora(path)), {component: Site.of(component, network)})
    tensors = {key: few(key, value) for key, value in load_file(path).items()}
    for change in changes[component]:
        delta, start = change.delta(tensors.__getitem__), 0
        for place in change.places:
            outputs = network.get_submodule(place.path).weight.shape[0]
            total = found.setdefault(place.path, torch.zeros(outputs, *delta.shape[1:]).double())
            total[place.into : place.into + place.rows] += delta[start : start + place.rows]
            start += place.rows
    return found


def assert_same(ours: dict[str, torch.Tensor], converted: dict[str, torch.Tensor]) -> None:
    """Compare with pairs lora_A, lora_B whose scale is inside them."""
    layers = {key.rsplit(".lora_", 1)[0] for key in converted}
    assert ours.keys() == layers
    for layer, found in ours.items():
        keys = [f"{layer}.lora_{letter}.weight" for letter in "AB"]
        down, up = (few(key, converted[key]).double() for key in keys)
        expected = up.flatten(1) @ down.flatten(1)
        torch.testing.assert_close(found.flatten(1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", [SDXL, SD15])
def test_original_names_are_diffusers_conversion_back(config: dict[str, object]) -> None:
    network = on_meta(UNet2DConditionModel, config)
    names = dict(original_names(paths_of(network)))
    assert sorted(names.values()) == sorted(paths_of(network))
    if config is SD15:
        assert names.items() >= KNOWN_SD15.items()


def test_sdxl_of_kohya(sdxl: nn.Module, tmp_path: Path) -> None:
    original = {path: name for name, path in original_names(paths_of(sdxl))}
    drawn = {original[path]: factors for path, factors in draw(sdxl, 1).items()}
    path = saved(tmp_path, "xl", kohya(drawn, "lora_unet_"))
    state = load_file(path)
    config = SimpleNamespace(layers_per_block=2)
    state = theirs._maybe_map_sgm_blocks_to_diffusers(state, config)
    state, alphas = theirs._convert_non_diffusers_lora_to_diffusers(state)
    assert not alphas
    converted = convert_unet_state_dict_to_peft(
        {key.removeprefix("unet."): value for key, value in state.items()}
    )
    found = products(path, "unet", sdxl)
    assert len(found) == len(paths_of(sdxl)) > 200
    assert_same(found, converted)


def flux_tensors(drawn: dict[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    found = {}
    for stem, (outputs, inputs) in drawn.items():
        found[f"{stem}.lora_down.weight"] = 0.1 * torch.randn((3, inputs), generator=generator)
        found[f"{stem}.lora_up.weight"] = torch.randn((outputs, 3), generator=generator)
        found[f"{stem}.alpha"] = torch.tensor(1.5)
    return found


BLOCKS = {
    **{f"double_blocks_1_{side}_attn_qkv": (9216, 3072) for side in ("img", "txt")},
    **{f"double_blocks_1_{side}_attn_proj": (3072, 3072) for side in ("img", "txt")},
    **{f"double_blocks_0_{side}_mlp_0": (12288, 3072) for side in ("img", "txt")},
    **{f"double_blocks_0_{side}_mlp_2": (3072, 12288) for side in ("img", "txt")},
    **{f"double_blocks_0_{side}_mod_lin": (18432, 3072) for side in ("img", "txt")},
    "single_blocks_1_linear1": (21504, 3072),
    "single_blocks_0_linear2": (3072, 15360),
    "single_blocks_0_modulation_lin": (9216, 3072),
}
WHOLE = {
    "img_in": (3072, 64),
    "txt_in": (3072, 4096),
    "time_in_in_layer": (3072, 256),
    "vector_in_out_layer": (3072, 3072),
    "guidance_in_out_layer": (3072, 3072),
}
FINAL = {"final_layer_linear": (64, 3072), "final_layer_adaLN_modulation_1": (6144, 3072)}


def test_flux_of_kohya(flux: nn.Module, tmp_path: Path) -> None:
    sizes = {f"lora_unet_{name}": size for name, size in {**BLOCKS, **WHOLE}.items()}
    path = saved(tmp_path, "flux", flux_tensors(sizes))
    converted = theirs._convert_kohya_flux_lora_to_diffusers(load_file(path))
    converted = {key.removeprefix("transformer."): value for key, value in converted.items()}
    found = products(path, "transformer", flux)
    assert len(found) == len(BLOCKS) + 2 * 2 + 3 + len(WHOLE)  # qkv twice, and three beside one
    assert_same(found, converted)


def test_flux_last_layer_of_kohya(flux: nn.Module, tmp_path: Path) -> None:
    """Its alpha, which diffusers drops, is half of the rank: the product is halved."""
    tensors = flux_tensors({f"lora_unet_{name}": size for name, size in FINAL.items()})
    path = saved(tmp_path, "last", tensors)
    converted = theirs._convert_kohya_flux_lora_to_diffusers(load_file(path))
    halved = {k: v / 2 if "lora_A" in k else v for k, v in converted.items()}
    assert_same(products(path, "transformer", flux), halved)


def test_flux_as_comfyui_has_it(flux: nn.Module, tmp_path: Path) -> None:
    underscored = flux_tensors({f"lora_unet_{name}": size for name, size in BLOCKS.items()})
    dotted = {
        key.replace("lora_unet_double_blocks_", "diffusion_model.double_blocks.")
        .replace("lora_unet_single_blocks_", "diffusion_model.single_blocks.")
        .replace("_img_attn_", ".img_attn.")
        .replace("_txt_attn_", ".txt_attn.")
        .replace("lora_down", "lora_A")
        .replace("lora_up", "lora_B"): value
        for key, value in underscored.items()
    }
    one = products(saved(tmp_path, "kohya", underscored), "transformer", flux)
    other = products(saved(tmp_path, "comfy", dotted), "transformer", flux)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[path], other[path]) for path in one)


def test_flux_of_xlabs(flux: nn.Module, tmp_path: Path) -> None:
    sizes = {
        **{f"double_blocks.0.processor.qkv_lora{number}": 9216 for number in (1, 2)},
        **{f"double_blocks.0.processor.proj_lora{number}": 3072 for number in (1, 2)},
        "single_blocks.1.processor.qkv_lora": 9216,
        "single_blocks.1.processor.proj_lora": 3072,
    }
    generator = torch.Generator().manual_seed(6)
    tensors = {}
    for stem, outputs in sizes.items():
        inputs = 15360 if stem.endswith("proj_lora") else 3072  # the real layer takes both parts
        tensors[f"{stem}.down.weight"] = torch.randn((2, inputs), generator=generator)
        tensors[f"{stem}.up.weight"] = torch.randn((outputs, 2), generator=generator)
    path = saved(tmp_path, "xlabs", tensors)
    converted = theirs._convert_xlabs_flux_lora_to_diffusers(load_file(path))
    converted = {key.removeprefix("transformer."): value for key, value in converted.items()}
    assert_same(products(path, "transformer", flux), converted)


CLIP = CLIPTextConfig(
    vocab_size=9, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    projection_dim=8,
)  # fmt: skip
T5 = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)


@pytest.mark.parametrize(
    ("stem", "component", "layer"),
    [
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "text_encoder_2", "fc1"),
        ("lora_te2_text_projection", "text_encoder_2", "text_projection"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "text_encoder_2", "fc1"),
        ("text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc2", "text_encoder_2",
         "fc2"),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", "text_encoder_3", "SelfAttention.q"),
        ("text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q",
         "text_encoder_3", "SelfAttention.q"),
    ],
)  # fmt: skip
def test_further_text_encoders(tmp_path: Path, stem: str, component: str, layer: str) -> None:
    networks = {
        "text_encoder_2": on_meta(CLIPTextModelWithProjection, CLIP),
        "text_encoder_3": on_meta(T5EncoderModel, T5),
    }
    sites = {name: Site.of(name, network) for name, network in networks.items()}
    (place,) = (
        {places for name, places in site.places.items() if name.endswith(layer.replace(".", "_"))}
        for key, site in sites.items()
        if key == component
    )
    outputs, inputs = sites[component].shapes[next(iter(place))[0].path]
    tensors = {"down": torch.ones(2, inputs), "up": torch.ones(outputs, 2)}
    path = saved(tmp_path, "te", {f"{stem}.lora_{k}.weight": v for k, v in tensors.items()})
    found = fit_file(open_lora(Lora(path)), sites)
    assert list(found) == [component]
    assert found[component][0].places[0].path.endswith(layer)

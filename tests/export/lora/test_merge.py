"""Merged weights equal diffusers' fused ones, or those worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import nn

from denoisert.export.lora.lora import Lora
from denoisert.export.lora.merge import merge
from tests.export.lora.conftest import NAMES, Networks
from tests.export.lora.drawn import Drawn, by_hand, draw, is_attention, kohya, peft, saved

BOUND = 1e-6
"""Of max|difference| / max|reference|: both add up in another order in float32."""

Load = Callable[[], Networks]
Fuse = Callable[..., Networks]
TEXT = "text_model."


def assert_equal(found: nn.Module, expected: Mapping[str, object]) -> None:
    values = found.state_dict()
    assert values.keys() == expected.keys()
    for name, value in values.items():
        theirs = expected[name].double()
        error = (value.double() - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12)
        assert error <= BOUND, (name, float(error))


def changed(found: nn.Module, base: nn.Module) -> set[str]:
    """Layers whose weights differ by more than a rounding."""
    before = base.state_dict()
    return {
        name.removesuffix(".weight")
        for name, value in found.state_dict().items()
        if (value - before[name]).abs().max() > 1e-3 * before[name].abs().max()
    }


def named_parts(drawn_unet: Drawn, drawn_text: Drawn) -> tuple[dict, dict]:
    return peft(drawn_unet), {TEXT + key: value for key, value in peft(drawn_text).items()}


def diffusers_file(folder: Path, drawn_unet: Drawn, drawn_text: Drawn, **metadata: object) -> Path:
    unet, text = named_parts(drawn_unet, drawn_text)
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=unet, text_encoder_lora_layers=text or None, **metadata
    )
    return folder / "pytorch_lora_weights.safetensors"


def kohya_file(folder: Path, drawn_unet: Drawn, drawn_text: Drawn, alpha=None) -> Path:
    return saved(
        folder,
        "kohya",
        kohya(drawn_unet, "lora_unet_", alpha),
        kohya(drawn_text, "lora_te_text_model_", alpha),
    )


@pytest.mark.parametrize("weight", [1.0, 0.7, -0.5])
def test_a_file_that_diffusers_saved(
    networks: Load, fused: Fuse, drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path, weight: float
) -> None:
    path = diffusers_file(tmp_path, drawn_unet, drawn_text)
    found, base = networks(), networks()
    notes = merge(found, [Lora(path, weight)])
    theirs = fused((path, weight))
    for name in NAMES:
        assert_equal(found[name], theirs[name].state_dict())
    assert changed(found["unet"], base["unet"]) == drawn_unet.keys()
    assert changed(found["text_encoder"], base["text_encoder"]) == drawn_text.keys()
    (note,) = notes
    assert f"weight {weight:g}" in note
    assert path.name in note
    assert f"{len(drawn_unet)} layers of unet" in note


def test_a_file_of_kohya(
    networks: Load, fused: Fuse, drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path
) -> None:
    path = kohya_file(tmp_path, drawn_unet, drawn_text, lambda number: 1.5)
    found = networks()
    merge(found, [Lora(path, 0.7)])
    theirs = fused((path, 0.7))
    for name in NAMES:
        assert_equal(found[name], theirs[name].state_dict())


def test_every_alpha_scales_its_own_layer(
    networks: Load, drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path
) -> None:
    """Diffusers reads an alpha that differs from most others as if it were one of them."""

    def alpha(number: int) -> float:
        return 0.5 + number % 5

    path = kohya_file(tmp_path, drawn_unet, drawn_text, alpha)
    found, base = networks(), networks()
    merge(found, [Lora(path, 0.5)])
    for name, drawn, rank in (("unet", drawn_unet, 3), ("text_encoder", drawn_text, 2)):
        expected = by_hand(base[name], drawn, lambda n, rank=rank: 0.5 * alpha(n) / rank)
        assert_equal(found[name], expected)


def test_two_files_add(
    networks: Load, fused: Fuse, drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path
) -> None:
    first = diffusers_file(tmp_path, drawn_unet, drawn_text)
    attention = draw(networks()["unet"], 5, rank=4, keep=is_attention)
    second = saved(tmp_path, "second", kohya(attention, "lora_unet_", lambda number: 2.0))
    one, other = networks(), networks()
    notes = merge(one, [Lora(first, 0.6), Lora(second, 1.3)])
    merge(other, [Lora(second, 1.3), Lora(first, 0.6)])
    theirs = fused((first, 0.6), (second, 1.3))
    for name in NAMES:
        assert_equal(one[name], theirs[name].state_dict())
        assert_equal(other[name], theirs[name].state_dict())
    assert [note.split(" is ")[0] for note in notes] == [f"LoRA {p.name}" for p in (first, second)]


def test_the_same_file_forth_and_back_is_the_base(
    networks: Load, drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path
) -> None:
    path = diffusers_file(tmp_path, drawn_unet, drawn_text)
    found, base = networks(), networks()
    merge(found, [Lora(path, 0.9), Lora(path, -0.9)])
    for name in NAMES:
        assert all(map(torch.equal, *(n[name].state_dict().values() for n in (found, base))))


def test_weight_0_is_the_base(
    networks: Load, drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path
) -> None:
    path = diffusers_file(tmp_path, drawn_unet, drawn_text)
    found, base = networks(), networks()
    merge(found, [Lora(path, 0.0)])
    for name in NAMES:
        assert all(map(torch.equal, *(n[name].state_dict().values() for n in (found, base))))


def test_a_text_encoder_alone(
    networks: Load, fused: Fuse, drawn_text: Drawn, tmp_path: Path
) -> None:
    path = saved(tmp_path, "text", kohya(drawn_text, "lora_te_text_model_", lambda number: 1.0))
    found, base = networks(), networks()
    merge(found, [Lora(path)])
    expected = by_hand(base["text_encoder"], drawn_text, lambda number: 1 / 2)
    assert_equal(found["text_encoder"], expected)
    assert changed(found["unet"], base["unet"]) == set()


def test_scales_that_diffusers_stored_in_the_file(
    networks: Load, fused: Fuse, drawn_unet: Drawn, tmp_path: Path
) -> None:
    from peft import LoraConfig

    config = LoraConfig(
        r=3,
        lora_alpha=6,
        target_modules=list(drawn_unet),
        alpha_pattern={"conv_in": 1.0, "attn1.to_q": 2.0},
        use_rslora=True,
    )
    path = diffusers_file(tmp_path, drawn_unet, {}, unet_lora_adapter_metadata=config.to_dict())
    found, base = networks(), networks()
    merge(found, [Lora(path, 0.5)])
    layers = list(drawn_unet)

    def scale(number: int) -> float:
        path = layers[number]
        alpha = 1.0 if path == "conv_in" else 2.0 if path.endswith("attn1.to_q") else 6.0
        return 0.5 * alpha / 3**0.5

    assert_equal(found["unet"], by_hand(base["unet"], drawn_unet, scale))
    assert_equal(found["unet"], fused((path, 0.5))["unet"].state_dict())


def test_a_folder_of_peft(networks: Load, drawn_unet: Drawn, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    base = networks()
    config = LoraConfig(r=2, lora_alpha=5, target_modules=["to_q", "conv1"])
    model = get_peft_model(networks()["unet"], config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.copy_(0.2 * torch.randn(value.shape, generator=generator))
    model.save_pretrained(tmp_path)
    found = networks()
    merge(found, [Lora(tmp_path / "adapter_model.safetensors")])
    theirs = PeftModel.from_pretrained(networks()["unet"], tmp_path).merge_and_unload()
    assert_equal(found["unet"], theirs.state_dict())
    assert len(changed(found["unet"], base["unet"])) > 10


def old_names(drawn: Drawn) -> dict[str, torch.Tensor]:
    """As diffusers saved attention processors before it used peft."""
    found = {}
    for path, factors in drawn.items():
        parent, _, last = path.removesuffix(".0").rpartition(".")
        for side, value in zip(("down", "up"), factors, strict=True):
            found[f"unet.{parent}.processor.{last}_lora.{side}.weight"] = value
    return found


def test_files_of_older_diffusers(
    networks: Load, fused: Fuse, drawn_text: Drawn, tmp_path: Path
) -> None:
    attention = draw(networks()["unet"], 5, rank=2, keep=is_attention)
    text = {
        f"text_encoder.text_model.{path}.lora_linear_layer.{side}.weight": value
        for path, factors in drawn_text.items()
        for side, value in zip(("down", "up"), factors, strict=True)
    }
    path = saved(tmp_path, "old", old_names(attention), text)
    found = networks()
    merge(found, [Lora(path, 0.8)])
    theirs = fused((path, 0.8))
    for name in NAMES:
        assert_equal(found[name], theirs[name].state_dict())


def test_a_kernel_between_two_matrices(networks: Load, tmp_path: Path) -> None:
    """LoCon's Tucker form: one layer after the other, applied to a picture."""
    generator = torch.Generator().manual_seed(4)
    found, base = networks(), networks()
    before, after = base["unet"].conv_in, found["unet"].conv_in
    down = torch.randn((3, 4, 1, 1), generator=generator)
    mid = torch.randn((2, 3, 3, 3), generator=generator)
    up = torch.randn((before.out_channels, 2, 1, 1), generator=generator)
    keys = {"lora_down": down, "lora_mid": mid, "lora_up": up}
    tensors = {f"lora_unet_conv_in.{key}.weight": value for key, value in keys.items()}
    path = saved(tmp_path, "tucker", tensors, {"lora_unet_conv_in.alpha": torch.tensor([3.0])})
    merge(found, [Lora(path, 0.5)])
    picture = torch.randn((1, 4, 8, 8), generator=generator)
    conv = nn.functional.conv2d
    through = conv(conv(conv(picture, down), mid, padding=1), up)
    expected = before(picture) + 0.5 * 3.0 / 2 * through
    torch.testing.assert_close(after(picture), expected, rtol=1e-4, atol=1e-4)
    assert through.abs().max() > 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_first(
    networks: Load, drawn_unet: Drawn, tmp_path: Path, dtype: torch.dtype
) -> None:
    half = {p: type(f)(*(value.to(dtype) for value in f)) for p, f in drawn_unet.items()}
    path = saved(tmp_path, "half", peft(half, "unet."))
    found, base = networks(), networks()
    merge(found, [Lora(path)])
    assert_equal(found["unet"], by_hand(base["unet"], half, lambda number: 1.0))


def test_layers_that_are_not_there_may_be_zero(
    networks: Load, drawn_unet: Drawn, tmp_path: Path
) -> None:
    zero = {
        f"lora_te_text_model_embeddings_position.lora_{side}.weight": torch.zeros(2, 2)
        for side in ("down", "up")
    }
    path = saved(tmp_path, "padded", peft(drawn_unet, "unet."), zero)
    found = networks()
    (note,) = merge(found, [Lora(path)])
    assert "text_encoder" not in note


def test_linear_and_1x1_are_one(networks: Load, tmp_path: Path) -> None:
    drawn = draw(networks()["unet"], 7, keep=lambda path: path.endswith(("proj_in", "to_q")))
    other = {
        path: type(f)(*(v.flatten(1) if v.ndim == 4 else v[..., None, None] for v in f))
        for path, f in drawn.items()
    }
    assert {f.down.ndim for f in other.values()} == {2, 4}
    path = saved(tmp_path, "other", peft(other, "unet."))
    found, base = networks(), networks()
    merge(found, [Lora(path)])
    assert_equal(found["unet"], by_hand(base["unet"], drawn, lambda number: 1.0))


def test_json_of_diffusers_is_where_it_is_looked_for(
    drawn_unet: Drawn, drawn_text: Drawn, tmp_path: Path
) -> None:
    """The metadata key is diffusers' own: a file with it has the key that is read."""
    from safetensors import safe_open

    from denoisert.export.lora.adapter import IN_FILE

    path = diffusers_file(
        tmp_path, drawn_unet, drawn_text, unet_lora_adapter_metadata={"lora_alpha": 2, "r": 3}
    )
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()[IN_FILE])["unet.lora_alpha"] == 2

"""Networks of a folder: the library's class, weights from safetensors, refused otherwise."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from denoisert.export.families.autoencoder import find_affine
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.export.sources.diffusers.keys import check_keys
from denoisert.export.sources.diffusers.networks import build_network, build_skeleton
from denoisert.export.sources.diffusers.stored import Files
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.runtime.errors import ExportError

FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def folder(tiny_text_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_text_folder, tmp_path / "copy"))


def built(folder: Path, name: str) -> torch.nn.Module:
    component = read_folder(folder).components[name]
    paths = find_weights(component.folder, FILES[name].removesuffix(".safetensors"))
    return build_network(component, Files(paths, name))


def configure(folder: Path, name: str, **entries: object) -> None:
    path = folder / name / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | entries), encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_network_has_the_weights_of_its_file(folder: Path, name: str) -> None:
    network = built(folder, name)
    stored = load_file(folder / name / FILES[name])
    assert not network.training
    found = network.state_dict()
    assert {key.removeprefix("text_model.") for key in found} == {
        key.removeprefix("text_model.") for key in stored
    }
    for key, value in found.items():
        twin = stored.get(key, stored.get(f"text_model.{key}"))
        torch.testing.assert_close(value, twin, rtol=0, atol=0)
    assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(folder: Path, dtype: torch.dtype) -> None:
    path = folder / "vae" / FILES["vae"]
    half = {name: value.to(dtype) for name, value in load_file(path).items()}
    save_file(half, path)
    found = built(folder, "vae").state_dict()
    assert {value.dtype for value in found.values()} == {torch.float32}
    name = next(iter(half))
    torch.testing.assert_close(found[name], half[name].float(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("unet", {"cross_attention_dim": 48}),
        ("unet", {"block_out_channels": [32, 128]}),
        ("vae", {"layers_per_block": 2}),
        ("text_encoder", {"num_hidden_layers": 3}),
        ("text_encoder", {"vocab_size": 700}),
    ],
)
def test_a_configuration_that_the_weights_contradict_is_refused(
    folder: Path, name: str, entries: dict[str, object]
) -> None:
    configure(folder, name, **entries)
    with pytest.raises(ExportError, match=name):
        built(folder, name)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("unet", {"down_block_types": ["EvilBlock2D", "DownBlock2D"]}),
        ("unet", {"block_out_channels": [32]}),
        ("unet", {"norm_num_groups": 7}),
        ("vae", {"act_fn": "no-such-function"}),
        ("vae", {"block_out_channels": [16]}),
        ("text_encoder", {"hidden_act": "no-such-function"}),
        ("text_encoder", {"num_attention_heads": "\x1b"}),
        ("text_encoder", {"num_attention_heads": 5}),
    ],
)
def test_a_configuration_of_no_network_is_refused(
    folder: Path, name: str, entries: dict[str, object]
) -> None:
    configure(folder, name, **entries)
    with pytest.raises(ExportError, match=f"configuration of {name} describes no") as caught:
        built(folder, name)
    assert str(caught.value).isprintable()


def test_absurd_sizes_are_refused_before_memory_is_taken(folder: Path) -> None:
    configure(folder, "text_encoder", vocab_size=2**40)
    with pytest.raises(ExportError, match="text_encoder"):
        built(folder, "text_encoder")


def test_settings_of_earlier_classes_are_left_out_in_silence() -> None:
    """`check_keys` has said what is wrong with them; diffusers warns of what is not."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    former = {"only_cross_attention": False, "cross_attention_dim": None, "num_layers": 1}
    kind = "DiTTransformer2DModel"
    component = Component("transformer", "diffusers", kind, Path("transformer"), former)
    logger = logging.getLogger("diffusers.configuration_utils")
    logger.addHandler(handler)
    try:
        network = build_skeleton(component)
        check_keys(component, network)
    finally:
        logger.removeHandler(handler)
    assert len(network.transformer_blocks) == 1  # type: ignore[arg-type]
    assert said == []


def affine(**config: object) -> tuple[float, float]:
    return find_affine(Component("vae", "diffusers", "AutoencoderKL", Path("vae"), config))


def test_scale_and_shift_are_the_configuration_s() -> None:
    assert affine() == (0.18215, 0.0)
    assert affine(scaling_factor=0.5, shift_factor=None, latents_mean=None) == (0.5, 0.0)
    assert affine(scaling_factor=1, shift_factor=0.1) == (1.0, 0.1)


@pytest.mark.parametrize(
    "config",
    [
        {"scaling_factor": 0.0},
        {"scaling_factor": "big"},
        {"scaling_factor": True},
        {"shift_factor": [1.0]},
        {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4},
    ],
)
def test_other_ways_to_scale_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ExportError, match="vae has"):
        affine(**config)

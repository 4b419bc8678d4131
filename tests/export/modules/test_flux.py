"""FLUX's module is the transformer as its pipeline calls it, with a LoRA merged and without."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from torch import Tensor, nn

from denoisert.export import Lora
from denoisert.export.lora.merge import merge
from denoisert.export.modules.flux import PackedDenoiser, pack, places, unpack
from denoisert.export.modules.traceable import make_traceable
from tests.export.families.folders import family_folder
from tests.export.families.oracles import opened
from tests.export.lora.drawn import Drawn, draw, peft, saved
from tests.once import Once

SIZES = [(8, 8), (12, 8), (4, 10)]
DIFFERENT = 0.1
TOKENS = 20
WEIGHT = 0.7


@pytest.mark.parametrize("size", SIZES)
def test_packing_is_the_pipeline_s(size: tuple[int, int]) -> None:
    height, width = size
    latent = torch.randn(2, 16, height, width)
    tokens = FluxPipeline._pack_latents(latent, 2, 16, height, width)
    assert torch.equal(pack(latent), tokens)
    assert torch.equal(unpack(tokens, height // 2, width // 2), latent)
    ids = FluxPipeline._prepare_latent_image_ids(2, height // 2, width // 2, "cpu", torch.float32)
    assert torch.equal(places(height // 2, width // 2).float(), ids)


@pytest.fixture(scope="module")
def pipeline(once: Once) -> Callable[[], FluxPipeline]:
    """Fresh ones of dev's folder."""
    folder = family_folder(once, "flux_dev")
    return lambda: opened(folder)


def inputs(height: int, width: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(height * width)
    shapes = {
        "latent": (2, 16, height, width),
        "hidden_states": (2, TOKENS, 96),
        "pooled": (2, 32),
    }
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return drawn | {"time": torch.tensor([640.0, 30.0]), "guidance": torch.tensor([3.5, 1.0])}


def called(transformer: nn.Module, given: dict[str, Tensor]) -> Tensor:
    """The transformer as FluxPipeline calls it, packed and unpacked by the pipeline's methods."""
    height, width = given["latent"].shape[2:]
    ids = FluxPipeline._prepare_latent_image_ids(2, height // 2, width // 2, "cpu", torch.float32)
    with torch.no_grad():
        tokens = transformer(
            hidden_states=FluxPipeline._pack_latents(given["latent"], 2, 16, height, width),
            timestep=given["time"] / 1000,
            guidance=given["guidance"],
            pooled_projections=given["pooled"],
            encoder_hidden_states=given["hidden_states"],
            txt_ids=torch.zeros(TOKENS, 3),
            img_ids=ids,
            return_dict=False,
        )[0]
    return FluxPipeline._unpack_latents(tokens, height * 4, width * 4, 4)


def answer(transformer: nn.Module, given: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return PackedDenoiser(make_traceable(transformer))(**given)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_the_module_is_the_transformer(
    size: tuple[int, int], pipeline: Callable[[], FluxPipeline]
) -> None:
    transformer, given = pipeline().transformer, inputs(*size)
    expected = called(transformer, given)
    assert error(answer(transformer, given), expected) < 1e-5


@pytest.mark.slow
def test_a_lora_is_in_what_is_traced(pipeline: Callable[[], FluxPipeline], tmp_path: Path) -> None:
    """Of every layer, as diffusers fuses it, and far from the base."""
    fused, given = pipeline(), inputs(12, 8)
    base = called(fused.transformer, given)
    drawn: Drawn = draw(fused.transformer, 5)
    path = saved(tmp_path, "style", peft(drawn, "transformer."))
    network = deepcopy(fused.transformer)
    (note,) = merge({"transformer": network}, [Lora(path, WEIGHT)])
    assert f"{len(drawn)} layers" in note
    fused.load_lora_weights(str(tmp_path), weight_name=path.name)
    fused.fuse_lora(components=["transformer"], lora_scale=WEIGHT)
    fused.unload_lora_weights()
    found = answer(network, given)
    assert error(found, called(fused.transformer, given)) < 1e-5
    assert error(found, base) > DIFFERENT

"""What an inpainting folder's configurations mean; no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.bundle.sizes import conditions_at
from denoisert.runtime.conditioning import check_sources
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.schedules import Leading
from denoisert.runtime.sampling.schedules.spacing import Final
from denoisert.runtime.sampling.solvers import DDIM, PLMS, PNDM, Bounded
from tests.export.families import test_stable_diffusion_xl_card as xl

SD, SDXL = "StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline"
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "scheduler": ("DDIMScheduler", {"steps_offset": 1, "clip_sample": False}),
    "text_encoder": ("CLIPTextModel", {"hidden_size": 768}),
    "tokenizer": ("CLIPTokenizer", {}),
    "unet": ("UNet2DConditionModel", {"sample_size": 64, "cross_attention_dim": 768}),
    "vae": ("AutoencoderKL", {"block_out_channels": [128, 256, 512, 512]}),
}
"""The published configurations, as far as anything reads them."""


def material(pipeline: str, **unet: Any) -> Material:
    """The published parts of a pipeline, with other values in the UNet."""
    if "XL" in pipeline:
        folder = replace(xl.material(unet=unet).folder, class_name=pipeline)
        return replace(xl.material(), folder=folder)
    parts = {
        name: Component(name, "", kind, Path(name), config | (unet if name == "unet" else {}))
        for name, (kind, config) in PUBLISHED.items()
    }
    tokens = Tokens(b"{}", length=77, size=49408, start=(49406,), end=(49407,), pad=49407)
    folder = Folder(Path("painter"), pipeline, parts, {})
    return Material(folder, tokens={"text_encoder": tokens})


def card_of(given: Material) -> Card:
    family = family_of(given.folder.class_name)
    return family.card(given, family.sampling(given))


@pytest.mark.parametrize(("pipeline", "side"), [(SD, 64), (SDXL, 128)])
def test_a_network_of_nine_channels_is_shown_mask_and_picture(pipeline: str, side: int) -> None:
    card = card_of(material(pipeline, in_channels=9, out_channels=4))
    assert card.layout.parts[0].shape == (4, side, side)
    mask, masked = card.conditions[-2:]
    assert (mask.name, mask.source, mask.shape) == ("mask", Source.MASK, (1, side, side))
    assert (masked.name, masked.source) == ("masked_latent", Source.EXTERNAL_PICTURE)
    assert masked.shape == (4, side, side)
    assert card.sampler.guidance == CFG(7.5)
    check_sources(card.conditions)
    assert Card.from_json(card.to_json()) == card


@pytest.mark.parametrize("pipeline", [SD, SDXL])
def test_what_it_is_shown_has_the_size_of_the_request(pipeline: str) -> None:
    sizes = CompileOptions(sizes=((512, 768), (768, 512)))
    card = card_of(replace(material(pipeline, in_channels=9), options=sizes))
    found = [conditions_at(card, layout)[-2:] for layout in card.layouts]
    assert [[entry.shape for entry in pair] for pair in found] == [
        [(1, 64, 96), (4, 64, 96)],
        [(1, 96, 64), (4, 96, 64)],
    ]


@pytest.mark.parametrize(("pipeline", "plain"), [(SD, SD.replace("Inpaint", "")), (SDXL, None)])
def test_a_network_of_four_channels_repaints_by_replacement(
    pipeline: str, plain: str | None
) -> None:
    """Nothing of it is on the card: it is that of any other folder of these parts."""
    card = card_of(material(pipeline, in_channels=4))
    assert not [entry for entry in card.conditions if entry.source is Source.MASK]
    if plain is not None:
        assert card == card_of(material(plain, in_channels=4))


@pytest.mark.parametrize(
    ("pipeline", "solver"),
    [(SD, PLMS()), (SD.replace("Inpaint", ""), PNDM())],
    ids=["inpainting", "plain"],
)
def test_the_pipeline_s_own_values_of_a_scheduler(pipeline: str, solver: object) -> None:
    """Runge-Kutta steps are skipped by one pipeline, an offset of 0 becomes 1 in both."""
    given = material(pipeline)
    scheduler = replace(given.parts["scheduler"], class_name="PNDMScheduler", config={})
    parts = {**given.parts, "scheduler": scheduler}
    advice = card_of(replace(given, folder=replace(given.folder, components=parts))).sampler
    assert (advice.solver, advice.spacing) == (solver, Leading(1, Final.LAST))


def test_only_the_plain_pipeline_leaves_latents_unclipped() -> None:
    plain = SD.replace("Inpaint", "")
    for pipeline, solver in ((SD, Bounded(DDIM(), Clip())), (plain, DDIM())):
        given = material(pipeline)
        scheduler = replace(given.parts["scheduler"], config={"clip_sample": True})
        parts = {**given.parts, "scheduler": scheduler}
        card = card_of(replace(given, folder=replace(given.folder, components=parts)))
        assert card.sampler.solver == solver


@pytest.mark.parametrize("pipeline", [SD, SDXL])
@pytest.mark.parametrize("channels", [5, 8, 13])
def test_other_networks_are_refused(pipeline: str, channels: int) -> None:
    """Depth, an edited picture, or nothing that is known."""
    with pytest.raises(ExportError, match=f"takes {channels} channels"):
        card_of(material(pipeline, in_channels=channels))


@pytest.mark.parametrize("pipeline", [SD, SDXL])
def test_nine_channels_without_a_mask_are_refused(pipeline: str) -> None:
    plain = pipeline.replace("Inpaint", "")
    with pytest.raises(ExportError, match=f"a {plain} has no mask. Write '{pipeline}' as"):
        card_of(material(plain, in_channels=9))

"""Stable Diffusion XL: a UNet told two CLIP encoders' states, a pooled state, sizes and crops.

Its refiner has the second encoder alone, and is told an aesthetic score instead of the target size.
Turbo and Lightning are students of the same shape, known by their scheduler. An inpainting model is
shown a mask and the rest of the picture beside the latent.

Source: Podell et al. 2023, arXiv 2307.01952; Sauer et al. 2023, arXiv 2311.17042 (Turbo);
Lin et al. 2024, arXiv 2402.13929 (Lightning).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from denoisert.export.families.autoencoder import (
    VAE,
    autoencoder_graphs,
    autoencoder_of,
    factor_of,
    latent_channels,
)
from denoisert.export.families.configuration import pair, whole
from denoisert.export.families.family import Build, Material
from denoisert.export.families.inpainting import channels_beside, repaints, shown_conditions
from denoisert.export.families.prediction import network_of, state_channels
from denoisert.export.families.recipe import Recipe, guidance_of, write_card
from denoisert.export.families.roster import (
    AUTOENCODERS,
    CLIP_PROJECTED,
    CLIP_TEXT,
    CLIP_TOKENIZERS,
    DIFFUSERS,
    SCHEDULERS,
    Roster,
    classes,
)
from denoisert.export.families.sizes import Sizes, find_sizes
from denoisert.export.families.student import noted, scale_of
from denoisert.export.families.text import (
    STATES,
    TEXT,
    clip_encoder,
    clip_graphs,
    hidden_condition,
    projection_condition,
)
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

UNET: Final = "unet"
FIRST: Final = TEXT
SECOND: Final = "text_encoder_2"
TOKENIZER: Final = "tokenizer"
SIZES: Final = "sizes"

DEFAULT_SAMPLE: Final = 128
"""Latent size of a UNet that does not say its own, as the pipeline has it."""

INPAINTING: Final = "StableDiffusionXLInpaintPipeline"

GUIDANCE: Final = 5.0
"""Guidance scale of the pipelines' own calls."""

INPAINTING_GUIDANCE: Final = 7.5
"""The same of the pipeline that repaints."""

SCORES: Final = (6.0, 2.5)
"""Aesthetic scores that the refiner is told, of the condition and of its negative."""

TOLD: Final = "text_time"
"""The kind of added embedding that the pipelines feed."""

FOREIGN_INPUTS: Final = (
    *("class_embed_type", "encoder_hid_dim", "encoder_hid_dim_type", "num_class_embeds"),
    "time_cond_proj_dim",
)
"""Settings that give a UNet inputs which no part of the folder feeds."""

ROSTER: Final = Roster(
    {
        "scheduler": SCHEDULERS,
        "text_encoder_2": CLIP_PROJECTED,
        "tokenizer_2": CLIP_TOKENIZERS,
        "unet": classes(DIFFUSERS, "UNet2DConditionModel"),
        "vae": AUTOENCODERS,
    },
    optional={"text_encoder": CLIP_TEXT, "tokenizer": CLIP_TOKENIZERS},
)


class StableDiffusionXL:
    """The family of Stable Diffusion XL."""

    pipelines: Mapping[str, Roster] = {
        "StableDiffusionXLImg2ImgPipeline": ROSTER,
        INPAINTING: ROSTER,
        "StableDiffusionXLPipeline": ROSTER,
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler; few steps without guidance where it is a student's."""
        scheduler = material.parts["scheduler"]
        own = INPAINTING_GUIDANCE if material.folder.class_name == INPAINTING else GUIDANCE
        guidance = guidance_of(material.readme, scale_of(material, own))
        return noted(material, read_scheduler(scheduler.class_name, scheduler.config, guidance))

    def card(self, material: Material, sampling: Sampling) -> Card:
        """Text, a pooled state, sizes, for some a mask and a picture in; one prediction out."""
        parts = material.parts
        sizes = self._sizes(material)
        channels = _channels(material)
        _check_encoders(parts)
        _check_inputs(parts[UNET])
        texts = tuple(_text(material, name) for name in _encoders(parts))
        conditions = _conditions(material, texts)
        _check_widths(parts[UNET], conditions)
        layouts = sizes.layouts(channels)
        shown = shown_conditions(layouts[0]) if repaints(parts[UNET], channels) else ()
        recipe = Recipe(
            layouts,
            network_of(channels, sampling),
            conditions=(*conditions, *shown),
            texts=texts,
            autoencoder=autoencoder_of(parts[VAE], sizes),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """UNet, text encoders, decoder and encoder."""
        from denoisert.export.graph.signature import denoiser_signature

        yield _denoiser(material)(build(UNET)), denoiser_signature(card)
        yield from clip_graphs(material, card, build)
        yield from autoencoder_graphs(material.parts[VAE], card, build)

    def _sizes(self, material: Material) -> Sizes:
        trained = pair(material.parts[UNET], "sample_size", DEFAULT_SAMPLE)
        return find_sizes(trained, factor_of(material.parts[VAE]), material.options)


def _channels(material: Material) -> int:
    """Of the state."""
    unet, latent = material.parts[UNET], latent_channels(material.parts[VAE])
    asked = material.folder.class_name
    beside = channels_beside(unet, latent, asked=asked, repainting=INPAINTING)
    return state_channels(unet, latent, beside=beside)


def _denoiser(material: Material) -> Callable[[nn.Module], nn.Module]:
    """The module with the ports of the card."""
    from denoisert.export.modules.stable_diffusion_xl import (
        OneTextDenoiser,
        OneTextRepainter,
        TwoTextsDenoiser,
        TwoTextsRepainter,
    )

    parts = material.parts
    is_shown = repaints(parts[UNET], latent_channels(parts[VAE]))
    if FIRST in parts:
        return TwoTextsRepainter if is_shown else TwoTextsDenoiser
    return OneTextRepainter if is_shown else OneTextDenoiser


def _encoders(parts: Mapping[str, Component]) -> tuple[str, ...]:
    return (FIRST, SECOND) if FIRST in parts else (SECOND,)


def _text(material: Material, name: str) -> TextEncoder:
    text = clip_encoder(material.parts[name], material.tokens[name])
    return replace(text, null=None) if _null(material) is not None else text


def _null(material: Material) -> float | None:
    """What stands for no negative prompt: zeros, or the states of an empty prompt."""
    is_zero = material.folder.settings.get("force_zeros_for_empty_prompt", True)
    return 0.0 if is_zero else None


def _conditions(material: Material, texts: tuple[TextEncoder, ...]) -> tuple[ConditionInput, ...]:
    """States of every encoder, the pooled state of the last, sizes."""
    parts, null = material.parts, _null(material)
    names = (STATES, f"{STATES}_2")
    states = tuple(
        hidden_condition(text, parts[text.name], name=name, null=null)
        for name, text in zip(names, texts, strict=False)
    )
    pooled = projection_condition(texts[-1], parts[SECOND], null=null)
    measures = _measures(material)
    sizes = ConditionInput(SIZES, Source.SIZES, "float32", (len(measures),), measures=measures)
    return (*states, pooled, sizes)


def _measures(material: Material) -> tuple[Measure, ...]:
    """Original size and crop; then the target size, or the refiner's score."""
    heights = (Measure(Quantity.ORIGINAL_HEIGHT), Measure(Quantity.ORIGINAL_WIDTH))
    if material.folder.settings.get("requires_aesthetics_score"):
        crops = (Quantity.CROP_TOP, Quantity.CROP_LEFT)
        score, negative = SCORES
        return (
            *heights,
            *(Measure(crop, uncond=0.0) for crop in crops),
            Measure(Quantity.SCORE, score, negative),
        )
    return (
        *heights,
        *(Measure(Quantity.CROP_TOP), Measure(Quantity.CROP_LEFT)),
        *(Measure(Quantity.TARGET_HEIGHT), Measure(Quantity.TARGET_WIDTH)),
    )


def _check_encoders(parts: Mapping[str, Component]) -> None:
    """Refuse the first encoder without its tokenizer, or the other way round."""
    if (FIRST in parts) != (TOKENIZER in parts):
        there, missing = (FIRST, TOKENIZER) if FIRST in parts else (TOKENIZER, FIRST)
        raise ExportError(
            f"the folder has {there} and no {missing}; model_index.json names both, or neither as "
            "for a refiner. Save the whole pipeline with save_pretrained."
        )


def _check_inputs(unet: Component) -> None:
    """Refuse a UNet that wants something else than text, a pooled state and sizes."""
    kind = unet.config.get("addition_embed_type")
    if kind != TOLD:
        raise ExportError(
            f"unet has addition_embed_type {shown(kind)}; the UNet of an SDXL pipeline has "
            f"{TOLD!r}. The folder mixes parts of two models. Take all parts from one."
        )
    foreign = [name for name in FOREIGN_INPUTS if unet.config.get(name) is not None]
    if foreign:
        raise ExportError(
            f"unet has {foreign[0]} = {shown(unet.config[foreign[0]])}: an input that no part of "
            "an SDXL folder feeds. Compile the denoiser alone as a torch module."
        )


def _check_widths(unet: Component, conditions: tuple[ConditionInput, ...]) -> None:
    """Refuse encoders and numbers of another model's UNet."""
    *states, pooled, sizes = conditions
    width, taken = sum(entry.shape[-1] for entry in states), unet.config.get("cross_attention_dim")
    if taken != width:
        raise ExportError(
            f"unet attends to states of width {shown(taken)}, the text encoders give {width}; the "
            "folder mixes parts of two models. Take all parts from one."
        )
    each = whole(unet, "addition_time_embed_dim", 256)
    given = pooled.shape[0] + each * sizes.shape[0]
    wanted = whole(unet, "projection_class_embeddings_input_dim", 2816)
    if wanted != given:
        raise ExportError(
            f"unet takes an added embedding of {wanted} numbers; a pooled state of "
            f"{pooled.shape[0]} and {sizes.shape[0]} sizes of {each} each are {given}. Correct "
            "requires_aesthetics_score in model_index.json (true for a refiner alone), or use the "
            "parts of one model."
        )

"""Latent consistency models: a UNet of Stable Diffusion that is told the guidance scale.

One evaluation a step, and few steps: guidance was distilled into the network. A LoRA that makes
Stable Diffusion such a student needs nothing of this: it is merged into that family's UNet, which
is told no scale.

Source: Luo et al. 2023, arXiv 2310.04378.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from denoisert.export.families.prediction import network_of, state_channels
from denoisert.export.families.recipe import Recipe, write_card
from denoisert.export.families.roster import DIFFUSERS, Roster, classes
from denoisert.export.families.sizes import find_sizes
from denoisert.export.families.stable_diffusion import DEFAULT_SAMPLE, ROSTER, UNET, check_inputs
from denoisert.export.families.text import (
    TEXT,
    clip_encoder,
    clip_graphs,
    clip_width,
    states_condition,
)
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.families import LCM
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.guidance import EmbeddedGuidance

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

GUIDANCE: Final = "guidance"
WIDTH: Final = "time_cond_proj_dim"
"""Setting that has the width of the scale's embedding."""

SCALE: Final = 8.5
"""Guidance scale of the pipeline's own call."""


class LatentConsistency:
    """The family of latent consistency models."""

    pipelines: Mapping[str, Roster] = {
        "LatentConsistencyModelPipeline": Roster(
            {**ROSTER.needed, "scheduler": classes(DIFFUSERS, LCM)}
        ),
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler; the scale is told to the network."""
        scheduler, wanted = material.parts["scheduler"], material.readme.guidance_scale
        guidance = EmbeddedGuidance(SCALE if wanted is None else wanted)
        found = read_scheduler(scheduler.class_name, scheduler.config, guidance)
        return replace(found, training=replace(found.training, distilled=True))

    def card(self, material: Material, sampling: Sampling) -> Card:
        """Text states and a guidance scale in, one prediction out."""
        parts = material.parts
        trained = pair(parts[UNET], "sample_size", DEFAULT_SAMPLE)
        sizes = find_sizes(trained, factor_of(parts[VAE]), material.options)
        channels = state_channels(parts[UNET], latent_channels(parts[VAE]))
        check_inputs(material.folder, parts[UNET], parts[TEXT], fed=WIDTH)
        _scale_width(parts[UNET])
        text = clip_encoder(parts[TEXT], material.tokens[TEXT])
        network = network_of(channels, sampling, scalars=(GUIDANCE,))
        recipe = Recipe(
            sizes.layouts(channels),
            replace(network, guidance=GUIDANCE),
            conditions=(states_condition(text, clip_width(parts[TEXT])),),
            texts=(text,),
            autoencoder=autoencoder_of(parts[VAE], sizes),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """UNet, text encoder, decoder and encoder."""
        from denoisert.export.graph.signature import denoiser_signature
        from denoisert.export.modules.latent_consistency import GuidedTextDenoiser

        width = _scale_width(material.parts[UNET])
        yield GuidedTextDenoiser(build(UNET), width), denoiser_signature(card)
        yield from clip_graphs(material, card, build)
        yield from autoencoder_graphs(material.parts[VAE], card, build)


def _scale_width(unet: Component) -> int:
    """Width of the scale's embedding.

    Raises:
        ExportError: the UNet takes none.
    """
    if unet.config.get(WIDTH) is None:
        raise ExportError(
            f"unet has no {WIDTH}: it is told no guidance scale, as the UNet of a latent "
            "consistency model is. Write 'StableDiffusionPipeline' as _class_name into "
            "model_index.json if it is a UNet of Stable Diffusion."
        )
    return whole(unet, WIDTH, 1)

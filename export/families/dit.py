"""DiT: a class-conditioned transformer on latents, trained to denoise or as a flow.

Trained to denoise, the second half of what it returns is a learned variance, which a DDPM reads and
every other solver drops. Guidance acts on all channels of the latent, as in diffusers' pipeline,
and never on the variance; DiT's own code leaves the fourth channel unguided.

A flow has a scheduler of flows: it is told num_train_timesteps t, t = 1 being noise, and returns
eps - x0. diffusers' pipeline cannot run its own folder then, as these schedulers scale no input.
SiT's own networks are told t itself, t = 1 being data, and return x0 - eps: the sign can be put
into the last layer, the time into nothing that such a folder has.

Source: Peebles and Xie 2022, arXiv 2212.09748; Ma et al. 2024, arXiv 2401.08740 (SiT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from denoisert.export.families.label import label_condition
from denoisert.export.families.prediction import network_of, output_ports, state_channels
from denoisert.export.families.recipe import Recipe, guidance_of, write_card
from denoisert.export.families.roster import (
    AUTOENCODERS,
    DIFFUSERS,
    SCHEDULERS,
    Roster,
    classes,
)
from denoisert.export.families.sizes import find_sizes
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

TRANSFORMER: Final = "transformer"
DEFAULT_SAMPLE: Final = 32
"""Latent size of a transformer that does not say its own, as in diffusers."""

PATCH: Final = 2
"""Edge of a token, in positions of the latent, of a transformer that does not say its own."""

GUIDANCE: Final = 4.0
"""Guidance scale of the pipeline's own call."""


class DiT:
    """The family of DiT."""

    pipelines: Mapping[str, Roster] = {
        "DiTPipeline": Roster(
            {
                "scheduler": SCHEDULERS,
                "transformer": classes(
                    DIFFUSERS,
                    "DiTTransformer2DModel",
                    former={"Transformer2DModel": "DiTTransformer2DModel"},
                ),
                "vae": AUTOENCODERS,
            }
        ),
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler with classifier-free guidance."""
        scheduler, transformer = material.parts["scheduler"], material.parts[TRANSFORMER]
        return read_scheduler(
            scheduler.class_name,
            scheduler.config,
            guidance_of(material.readme, GUIDANCE),
            Pipeline(ports=output_ports(transformer), edge=_patch(transformer)),
        )

    def card(self, material: Material, sampling: Sampling) -> Card:
        """A class label in; the prediction and perhaps its variance out."""
        parts = material.parts
        transformer = parts[TRANSFORMER]
        trained = pair(transformer, "sample_size", DEFAULT_SAMPLE)
        factor, patch = factor_of(parts[VAE]), _patch(transformer)
        sizes = find_sizes(trained, factor, material.options, multiple=patch)
        channels = state_channels(transformer, latent_channels(parts[VAE]))
        label = label_condition(material.folder, transformer, key="num_embeds_ada_norm")
        recipe = Recipe(
            sizes.layouts(channels),
            network_of(channels, sampling),
            conditions=(label,),
            autoencoder=autoencoder_of(parts[VAE], sizes),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """Transformer, decoder and encoder."""
        from denoisert.export.graph.signature import denoiser_signature
        from denoisert.export.modules.dit import ClassDenoiser

        yield ClassDenoiser(build(TRANSFORMER)), denoiser_signature(card)
        yield from autoencoder_graphs(material.parts[VAE], card, build)


def _patch(transformer: Component) -> int:
    return whole(transformer, "patch_size", PATCH)

"""DiT: a class-conditioned diffusion transformer on latents, with a learned variance.

Source: Peebles and Xie 2022, arXiv 2212.09748.
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
from denoisert.export.families.configuration import pair
from denoisert.export.families.family import Build, Material
from denoisert.export.families.label import label_condition
from denoisert.export.families.prediction import network_of, output_ports, state_channels
from denoisert.export.families.recipe import Recipe, guidance_of, write_card
from denoisert.export.families.roster import (
    DIFFUSERS,
    KL_AUTOENCODERS,
    SCHEDULERS,
    Roster,
    classes,
)
from denoisert.export.families.sizes import find_sizes
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

TRANSFORMER: Final = "transformer"
DEFAULT_SAMPLE: Final = 64
"""Latent size of a transformer that does not say its own, as in diffusers."""

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
                "vae": KL_AUTOENCODERS,
            }
        ),
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler with classifier-free guidance."""
        scheduler = material.parts["scheduler"]
        return read_scheduler(
            scheduler.class_name,
            scheduler.config,
            guidance_of(material.readme, GUIDANCE),
            Pipeline(ports=output_ports(material.parts[TRANSFORMER])),
        )

    def card(self, material: Material, sampling: Sampling) -> Card:
        """A class label in; the prediction and its variance out."""
        parts = material.parts
        trained = pair(parts[TRANSFORMER], "sample_size", DEFAULT_SAMPLE)
        sizes = find_sizes(trained, factor_of(parts[VAE]), material.options)
        channels = state_channels(parts[TRANSFORMER], latent_channels(parts[VAE]))
        label = label_condition(material.folder, parts[TRANSFORMER], key="num_embeds_ada_norm")
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

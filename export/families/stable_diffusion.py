"""Stable Diffusion 1 and 2: a UNet that attends to the states of one CLIP text encoder.

Their inpainting models are shown a mask and the rest of the picture beside the latent.

Source: Rombach et al. 2022, arXiv 2112.10752.
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
from denoisert.export.families.corrections import PAINTING, REPAINTING, corrected
from denoisert.export.families.family import Build, Material
from denoisert.export.families.inpainting import channels_beside, repaints, shown_conditions
from denoisert.export.families.prediction import network_of, output_ports, state_channels
from denoisert.export.families.recipe import Recipe, guidance_of, write_card
from denoisert.export.families.roster import (
    AUTOENCODERS,
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
    TEXT,
    clip_encoder,
    clip_graphs,
    clip_width,
    states_condition,
)
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

UNET: Final = "unet"
DEFAULT_SAMPLE: Final = 64
"""Latent size of a UNet that does not say its own, as in diffusers."""

GUIDANCE: Final = 7.5
"""Guidance scale of the pipeline's own call."""

FOREIGN_INPUTS: Final = (
    *("addition_embed_type", "class_embed_type", "encoder_hid_dim", "encoder_hid_dim_type"),
    *("num_class_embeds", "time_cond_proj_dim"),
)
"""Settings that give a UNet inputs which no part of the folder feeds."""

INPAINTING: Final = "StableDiffusionInpaintPipeline"

ROSTER: Final = Roster(
    {
        "scheduler": SCHEDULERS,
        "text_encoder": CLIP_TEXT,
        "tokenizer": CLIP_TOKENIZERS,
        "unet": classes(DIFFUSERS, "UNet2DConditionModel"),
        "vae": AUTOENCODERS,
    }
)


class StableDiffusion:
    """The family of Stable Diffusion 1 and 2."""

    pipelines: Mapping[str, Roster] = {
        "StableDiffusionImg2ImgPipeline": ROSTER,
        INPAINTING: ROSTER,
        "StableDiffusionPipeline": ROSTER,
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler, as the pipeline corrects it, with classifier-free guidance."""
        scheduler = material.parts["scheduler"]
        values = REPAINTING if material.folder.class_name == INPAINTING else PAINTING
        found = read_scheduler(
            scheduler.class_name,
            corrected(scheduler, values),
            guidance_of(material.readme, scale_of(material, GUIDANCE)),
            Pipeline(ports=output_ports(material.parts[UNET])),
        )
        return noted(material, found)

    def card(self, material: Material, sampling: Sampling) -> Card:
        """Text states in, for some a mask and the rest of a picture; one prediction out."""
        parts = material.parts
        sizes = self._sizes(material)
        channels = _channels(material)
        check_inputs(material.folder, parts[UNET], parts[TEXT])
        text = clip_encoder(parts[TEXT], material.tokens[TEXT])
        layouts = sizes.layouts(channels)
        shown = shown_conditions(layouts[0]) if repaints(parts[UNET], channels) else ()
        recipe = Recipe(
            layouts,
            network_of(channels, sampling),
            conditions=(states_condition(text, clip_width(parts[TEXT])), *shown),
            texts=(text,),
            autoencoder=autoencoder_of(parts[VAE], sizes),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """UNet, text encoder, decoder and encoder."""
        from denoisert.export.graph.signature import denoiser_signature
        from denoisert.export.modules.stable_diffusion import TextDenoiser, TextRepainter

        is_shown = repaints(material.parts[UNET], latent_channels(material.parts[VAE]))
        denoiser = TextRepainter if is_shown else TextDenoiser
        yield denoiser(build(UNET)), denoiser_signature(card)
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


def check_inputs(folder: Folder, unet: Component, encoder: Component, *, fed: str = "") -> None:
    """Refuse a UNet that wants something else than the text encoder's states.

    Args:
        folder: for errors.
        unet: with the settings of its inputs.
        encoder: whose states it attends to.
        fed: the setting of an input that is fed nevertheless.

    Raises:
        ExportError: an input that nothing feeds, or states of another width.
    """
    wanted = [name for name in FOREIGN_INPUTS if name != fed]
    foreign = [name for name in wanted if unet.config.get(name) is not None]
    if foreign:
        raise ExportError(
            f"unet has {foreign[0]} = {shown(unet.config[foreign[0]])}: an input that no part of a "
            f"{folder.class_name} feeds. Compile the denoiser alone as a torch module."
        )
    width, taken = clip_width(encoder), unet.config.get("cross_attention_dim", 1280)
    if taken != width:
        raise ExportError(
            f"unet attends to states of width {shown(taken)}, text_encoder gives {width}; the "
            "folder mixes parts of two models. Take all parts from one."
        )

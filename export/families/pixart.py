"""PixArt-alpha and Sigma: a transformer that attends to T5's states, with padding hidden.

Networks of 1024 pixels of alpha are also told height, width and their ratio. Half of what the
network returns is a learned variance, which the pipelines drop. LCM students of alpha are known by
their scheduler; nothing in a folder tells those of DMD, which begin at time 400 and take one step:
ask for `Timesteps((400.0,))`.

Source: Chen et al. 2023, arXiv 2310.00426 (alpha); Chen et al. 2024, arXiv 2403.04692 (Sigma);
Chen et al. 2024, arXiv 2401.05252 (LCM).
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
from denoisert.export.families.configuration import whole
from denoisert.export.families.family import Build, Material
from denoisert.export.families.prediction import network_of, state_channels
from denoisert.export.families.recipe import Recipe, guidance_of, write_card
from denoisert.export.families.roster import (
    AUTOENCODERS,
    DIFFUSERS,
    SCHEDULERS,
    T5_TEXT,
    T5_TOKENIZERS,
    Roster,
    classes,
)
from denoisert.export.families.sizes import Sizes, find_sizes
from denoisert.export.families.t5 import LENGTHS, MASK, t5_encoder, t5_width, text_graphs
from denoisert.export.families.text import TEXT, states_condition
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.families import DISTILLED
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Cleaning, ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

TRANSFORMER: Final = "transformer"
ALPHA: Final = "PixArtAlphaPipeline"
SIGMA: Final = "PixArtSigmaPipeline"
SIZES: Final = "sizes"

DEFAULT_SAMPLE: Final = 128
"""Latent size of a transformer that does not say its own, as in diffusers."""

TOLD_SAMPLE: Final = 128
"""Latent size of transformers that are told sizes, unless they say whether they are."""

GUIDANCE: Final = 4.5
"""Guidance scale of the pipelines' own calls."""

PLAIN: Final[Mapping[str, object]] = {
    "attention_type": "default",
    "double_self_attention": False,
    "only_cross_attention": False,
}
"""Settings of an earlier class that make another network -> what they are in PixArt's."""

CLEANING_NOTE: Final = (
    "diffusers takes links, HTML and unusual punctuation out of prompts where ftfy and "
    "beautifulsoup4 are installed; here a prompt becomes lower case without outer white space, "
    "which is what diffusers does without them, or under clean_caption=False."
)

ROSTER: Final = Roster(
    {
        "scheduler": SCHEDULERS,
        "text_encoder": T5_TEXT,
        "tokenizer": T5_TOKENIZERS,
        "transformer": classes(
            DIFFUSERS,
            "PixArtTransformer2DModel",
            former={"Transformer2DModel": "PixArtTransformer2DModel"},
        ),
        "vae": AUTOENCODERS,
    }
)


class PixArt:
    """The family of PixArt-alpha and Sigma."""

    pipelines: Mapping[str, Roster] = {ALPHA: ROSTER, SIGMA: ROSTER}

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler with classifier-free guidance, which students do without."""
        scheduler = material.parts["scheduler"]
        scale = 1.0 if scheduler.class_name in DISTILLED else GUIDANCE
        guidance = guidance_of(material.readme, scale)
        found = read_scheduler(scheduler.class_name, scheduler.config, guidance)
        return replace(found, notes=(*found.notes, CLEANING_NOTE))

    def card(self, material: Material, sampling: Sampling) -> Card:
        """Text states with their mask, perhaps sizes, in; the prediction out."""
        parts = material.parts
        transformer = parts[TRANSFORMER]
        sizes = self._sizes(material)
        channels = state_channels(transformer, latent_channels(parts[VAE]))
        _check_plain(transformer)
        _check_widths(transformer, parts[TEXT])
        text = t5_encoder(
            parts[TEXT],
            material.tokens[TEXT],
            LENGTHS[material.folder.class_name],
            mask=MASK,
            cleaning=Cleaning.LOWER,
        )
        recipe = Recipe(
            sizes.layouts(channels),
            network_of(channels, sampling),
            conditions=_conditions(material, text),
            texts=(text,),
            autoencoder=autoencoder_of(parts[VAE], sizes),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """Transformer, text encoder, decoder and encoder."""
        from denoisert.export.graph.signature import denoiser_signature
        from denoisert.export.modules.pixart import TextDenoiser

        yield TextDenoiser(build(TRANSFORMER)), denoiser_signature(card)
        yield from text_graphs(material, card, build)
        yield from autoencoder_graphs(material.parts[VAE], card, build)

    def _sizes(self, material: Material) -> Sizes:
        transformer = material.parts[TRANSFORMER]
        sample = whole(transformer, "sample_size", DEFAULT_SAMPLE)
        factor = factor_of(material.parts[VAE])
        patch = whole(transformer, "patch_size", 2)
        return find_sizes((sample, sample), factor, material.options, multiple=patch)


def _conditions(material: Material, text: TextEncoder) -> tuple[ConditionInput, ...]:
    """States, their mask, and sizes where the network is told them."""
    width = t5_width(material.parts[TEXT])
    mask = ConditionInput(MASK, Source.TOKEN_MASK, "int64", (text.tokens,), encoder=text.name)
    conditions = (states_condition(text, width), mask)
    if not _is_told_sizes(material):
        return conditions
    quantities = (Quantity.HEIGHT, Quantity.WIDTH, Quantity.RATIO)
    measures = tuple(Measure(quantity) for quantity in quantities)
    sizes = ConditionInput(SIZES, Source.SIZES, "float32", (len(measures),), measures=measures)
    return (*conditions, sizes)


def _is_told_sizes(material: Material) -> bool:
    """Whether the transformer embeds height, width and ratio.

    Raises:
        ExportError: it does, and its pipeline feeds none.
    """
    transformer = material.parts[TRANSFORMER]
    said = transformer.config.get("use_additional_conditions")
    sample = whole(transformer, "sample_size", DEFAULT_SAMPLE)
    is_told = sample == TOLD_SAMPLE if said is None else bool(said)
    if is_told and material.folder.class_name == SIGMA:
        raise ExportError(
            f"transformer has use_additional_conditions {shown(said)} at sample_size {sample}: it "
            f"is told height, width and ratio, which a {SIGMA} does not do. Set it to false if the "
            f"transformer is Sigma's, or save the parts of alpha as a {ALPHA}."
        )
    return is_told


def _check_plain(transformer: Component) -> None:
    """Refuse what no PixArt has.

    Raises:
        ExportError: a setting that makes another network.
    """
    for name, plain in PLAIN.items():
        found = transformer.config.get(name, plain)
        if found is not None and found != plain:
            raise ExportError(
                f"transformer has {name} = {shown(found)}; in PixArt's networks it is {plain!r}. "
                "Compile the denoiser alone as a torch module."
            )


def _check_widths(transformer: Component, encoder: Component) -> None:
    """Refuse parts of two models, and heads that do not make the width that is attended to.

    Raises:
        ExportError: they do not fit.
    """
    taken, given = transformer.config.get("caption_channels"), t5_width(encoder)
    if taken != given:
        raise ExportError(
            f"transformer takes captions of width {shown(taken)} (caption_channels), text_encoder "
            f"gives {given}; the folder mixes parts of two models. Take all parts from one."
        )
    heads = whole(transformer, "num_attention_heads", 16)
    width = heads * whole(transformer, "attention_head_dim", 72)
    context = transformer.config.get("cross_attention_dim", 1152)
    if context != width:
        raise ExportError(
            f"transformer attends to states of width {shown(context)} (cross_attention_dim), its "
            f"own is {heads} heads of {width // heads}, {width} in all; both are the same in "
            "PixArt."
        )

"""FLUX.1 dev and schnell: a transformer of a picture's tokens and T5's, told CLIP's pooled state.

dev is told its guidance, and its schedule follows the size of the picture; schnell, a student of
few steps, has neither. The autoencoder's latent is packed to tokens inside the graph.

Source: Black Forest Labs 2024, github.com/black-forest-labs/flux; blocks: Esser et al. 2024, arXiv
2403.03206; guidance: Meng et al. 2023, arXiv 2210.03142.
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
from denoisert.export.families.prediction import check_flow, network_of
from denoisert.export.families.recipe import Recipe, write_card
from denoisert.export.families.roster import (
    AUTOENCODERS,
    CLIP_TEXT,
    CLIP_TOKENIZERS,
    DIFFUSERS,
    SCHEDULERS,
    T5_TEXT,
    T5_TOKENIZERS,
    Roster,
    classes,
)
from denoisert.export.families.sizes import Sizes, find_sizes
from denoisert.export.families.t5 import LENGTHS, t5_encoder, t5_width, text_graphs
from denoisert.export.families.text import (
    TEXT,
    clip_encoder,
    clip_width,
    pooled_condition,
    states_condition,
)
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.pipeline import Pipeline, Times
from denoisert.export.sources.diffusers.scheduler import FEW_STEPS, Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card, Network
from denoisert.runtime.bundle.condition import ConditionInput, TextEncoder
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.guidance import EmbeddedGuidance, Guidance, Unguided

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

TRANSFORMER: Final = "transformer"
T5: Final = "text_encoder_2"
TOLD: Final = "guidance"
"""The transformer's input that is told the guidance scale."""

SAMPLE: Final = 128
"""Latent size of the pipelines' default picture."""

EDGE: Final = 2
"""Edge of a token, in positions of the latent."""

STEPS: Final = 28
"""Steps of the pipelines' own calls."""

STUDENT_LENGTH: Final = 256
"""Tokens of T5 that schnell was made with; its padding is attended to, so the number counts."""

GUIDANCES: Final[Mapping[str, float]] = {
    "FluxImg2ImgPipeline": 7.0,
    "FluxInpaintPipeline": 7.0,
    "FluxPipeline": 3.5,
}
"""Pipeline -> scale that its own call tells the transformer."""

CHANNELS: Final = 64
HEAD_WIDTH: Final = 128
ROTARY: Final = (16, 56, 56)
TEXT_WIDTH: Final = 4096
POOLED_WIDTH: Final = 768
"""What a transformer has that does not say its own, as in diffusers."""

ROSTER: Final = Roster(
    {
        "scheduler": SCHEDULERS,
        "text_encoder": CLIP_TEXT,
        "text_encoder_2": T5_TEXT,
        "tokenizer": CLIP_TOKENIZERS,
        "tokenizer_2": T5_TOKENIZERS,
        "transformer": classes(DIFFUSERS, "FluxTransformer2DModel"),
        "vae": AUTOENCODERS,
    }
)


class Flux:
    """The family of FLUX.1 dev and schnell."""

    pipelines: Mapping[str, Roster] = dict.fromkeys(GUIDANCES, ROSTER)

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler on the pipelines' own times.

        Raises:
            ExportError: it is not a flow's, or no table reproduces it.
        """
        scheduler = material.parts["scheduler"]
        height, width = self._sizes(material).latent
        found = read_scheduler(
            scheduler.class_name,
            scheduler.config,
            _guidance(material),
            Pipeline(Times.PIPELINE, (height // EDGE) * (width // EDGE), edge=EDGE),
        )
        check_flow(found, scheduler, "FLUX")
        steps = FEW_STEPS if _is_student(material) else STEPS
        return replace(found, recommended=replace(found.recommended, steps=steps))

    def card(self, material: Material, sampling: Sampling) -> Card:
        """T5's states and CLIP's pooled state in, for some a guidance scale; one velocity out."""
        parts = material.parts
        sizes = self._sizes(material)
        channels = _channels(parts)
        texts = _texts(material)
        conditions = _conditions(parts, texts)
        _check_widths(parts[TRANSFORMER], conditions)
        _check_rotary(parts[TRANSFORMER])
        recipe = Recipe(
            sizes.layouts(channels),
            _network(material, channels, sampling),
            conditions=conditions,
            texts=texts,
            autoencoder=autoencoder_of(parts[VAE], sizes),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """Transformer, text encoders, decoder and encoder."""
        from denoisert.export.graph.signature import denoiser_signature
        from denoisert.export.modules.flux import PackedDenoiser

        yield PackedDenoiser(build(TRANSFORMER)), denoiser_signature(card)
        yield from text_graphs(material, card, build)
        yield from autoencoder_graphs(material.parts[VAE], card, build)

    def _sizes(self, material: Material) -> Sizes:
        factor = factor_of(material.parts[VAE])
        return find_sizes((SAMPLE, SAMPLE), factor, material.options, multiple=EDGE)


def _is_told(material: Material) -> bool:
    """Whether the transformer has an input for the guidance scale."""
    return bool(material.parts[TRANSFORMER].config.get("guidance_embeds", False))


def _is_student(material: Material) -> bool:
    """Whether it is schnell: not told its guidance, on times that no size shifts."""
    is_shifted = material.parts["scheduler"].config.get("use_dynamic_shifting", False)
    return not (is_shifted or _is_told(material))


def _guidance(material: Material) -> Guidance:
    """What the transformer is told; pipelines run no second branch unless they are asked to."""
    if not _is_told(material):
        return Unguided()
    said = material.readme.guidance_scale
    return EmbeddedGuidance(GUIDANCES[material.folder.class_name] if said is None else said)


def _network(material: Material, channels: int, sampling: Sampling) -> Network:
    network = network_of(channels, sampling)
    return replace(network, scalars=(TOLD,), guidance=TOLD) if _is_told(material) else network


def _channels(parts: Mapping[str, Component]) -> int:
    """Channels of the state, which a token has four times over.

    Raises:
        ExportError: the transformer takes or returns something else than packed latents.
    """
    transformer, latent = parts[TRANSFORMER], latent_channels(parts[VAE])
    packed, taken = EDGE**2 * latent, whole(transformer, "in_channels", CHANNELS)
    if taken != packed:
        raise ExportError(
            f"transformer takes tokens of {taken} channels, {latent} channels of the autoencoder "
            f"packed {EDGE}x{EDGE} are {packed}{_shown(taken, packed, factor_of(parts[VAE]))}. "
            "FLUX.1 dev and schnell are compiled, and models of their shape."
        )
    returned = transformer.config.get("out_channels")
    if returned not in (None, packed) or whole(transformer, "patch_size", 1) != 1:
        raise ExportError(
            f"transformer has out_channels {shown(returned)} and patch_size "
            f"{shown(transformer.config.get('patch_size'))}; it returns tokens of {packed} "
            "channels as it takes them, patch_size 1. Use the configuration that the model was "
            "saved with."
        )
    return latent


def _shown(taken: int, packed: int, factor: int) -> str:
    """Which model has more channels in, of those that are known."""
    pixels = EDGE**2 * factor**2
    known = {
        2 * packed: "a FLUX.1 Control model (Canny, Depth), which is shown a picture",
        2 * packed + pixels: "FLUX.1 Fill, which is shown a masked picture and its mask",
    }
    return f": it is {known[taken]}, and no input is fed with those" if taken in known else ""


def _texts(material: Material) -> tuple[TextEncoder, ...]:
    """CLIP, then T5 with as many tokens as the pipelines give it."""
    parts, tokens = material.parts, material.tokens
    length = STUDENT_LENGTH if _is_student(material) else LENGTHS[material.folder.class_name]
    return clip_encoder(parts[TEXT], tokens[TEXT]), t5_encoder(parts[T5], tokens[T5], length)


def _conditions(
    parts: Mapping[str, Component], texts: tuple[TextEncoder, ...]
) -> tuple[ConditionInput, ...]:
    clip, t5 = texts
    return (
        states_condition(t5, t5_width(parts[T5])),
        pooled_condition(clip, clip_width(parts[TEXT])),
    )


def _check_widths(transformer: Component, conditions: tuple[ConditionInput, ...]) -> None:
    """Refuse encoders of another model's transformer, and an input that nothing feeds."""
    states, pooled = conditions
    wanted = {
        ("joint_attention_dim", TEXT_WIDTH): states,
        ("pooled_projection_dim", POOLED_WIDTH): pooled,
    }
    for (key, default), entry in wanted.items():
        width = whole(transformer, key, default)
        if width != entry.shape[-1]:
            raise ExportError(
                f"transformer has {key} {width}, {entry.encoder} gives {entry.shape[-1]}; the "
                "folder mixes parts of two models. Take all parts from one."
            )
    foreign = transformer.config.get("encoder_hid_dim_type")
    if foreign is not None:
        raise ExportError(
            f"transformer has encoder_hid_dim_type {shown(foreign)}: an IP adapter is loaded into "
            "it, which is not compiled. Save the pipeline after unload_ip_adapter()."
        )


def _check_rotary(transformer: Component) -> None:
    """Refuse positions that do not fill a head."""
    head = whole(transformer, "attention_head_dim", HEAD_WIDTH)
    rotary = transformer.config.get("axes_dims_rope") or ROTARY
    is_list = isinstance(rotary, list | tuple) and all(type(each) is int for each in rotary)
    if not is_list or len(rotary) != len(ROTARY) or sum(rotary) != head:
        raise ExportError(
            f"transformer has axes_dims_rope {shown(rotary)} for heads of {head} numbers; three "
            "axes have as many together. Use the configuration that the model was saved with."
        )

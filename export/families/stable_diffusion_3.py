"""Stable Diffusion 3 and 3.5: joint attention of a picture, two CLIP encoders and perhaps T5.

3.5 differs in the transformer's own configuration: normalised queries and keys and, in medium, a
second attention in its first blocks. A student (Turbo) says so nowhere but in its README.

Source: Esser et al. 2024, arXiv 2403.03206.
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
from denoisert.export.families.prediction import check_flow, network_of, state_channels
from denoisert.export.families.recipe import Recipe, guidance_of, write_card
from denoisert.export.families.roster import (
    AUTOENCODERS,
    CLIP_PROJECTED,
    CLIP_TOKENIZERS,
    DIFFUSERS,
    SCHEDULERS,
    T5_TEXT,
    T5_TOKENIZERS,
    TRANSFORMERS,
    Roster,
    classes,
    image_processors,
)
from denoisert.export.families.sizes import Sizes, find_sizes
from denoisert.export.families.t5 import LENGTHS, t5_encoder, t5_width, text_graphs
from denoisert.export.families.text import (
    POOLED,
    STATES,
    TEXT,
    clip_encoder,
    hidden_condition,
    projection_condition,
    states_condition,
)
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, TextEncoder
from denoisert.runtime.errors import ExportError, InvalidInput

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

TRANSFORMER: Final = "transformer"
CLIPS: Final = (TEXT, "text_encoder_2")
T5: Final = "text_encoder_3"
TOKENIZER: Final = "tokenizer_3"

CHANNELS: Final = 16
PATCH: Final = 2
SAMPLE: Final = 128
POSITIONS: Final = 96
HEADS: Final = 18
HEAD_WIDTH: Final = 64
TEXT_WIDTH: Final = 4096
INNER_WIDTH: Final = 1152
POOLED_WIDTH: Final = 2048
"""What a transformer has that does not say its own, as in diffusers."""

GUIDANCE: Final = 7.0
STEPS: Final = 28
"""Guidance scale and steps of the pipelines' own calls."""

ROSTER: Final = Roster(
    {
        "scheduler": SCHEDULERS,
        "text_encoder": CLIP_PROJECTED,
        "text_encoder_2": CLIP_PROJECTED,
        "tokenizer": CLIP_TOKENIZERS,
        "tokenizer_2": CLIP_TOKENIZERS,
        "transformer": classes(DIFFUSERS, "SD3Transformer2DModel"),
        "vae": AUTOENCODERS,
    },
    optional={T5: T5_TEXT, TOKENIZER: T5_TOKENIZERS},
    left_out={
        "feature_extractor": classes(TRANSFORMERS, *image_processors("SiglipImageProcessor")),
        "image_encoder": classes(TRANSFORMERS, "SiglipVisionModel"),
    },
)


class StableDiffusion3:
    """The family of Stable Diffusion 3 and 3.5."""

    pipelines: Mapping[str, Roster] = {
        "StableDiffusion3Img2ImgPipeline": ROSTER,
        "StableDiffusion3InpaintPipeline": ROSTER,
        "StableDiffusion3Pipeline": ROSTER,
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler with classifier-free guidance.

        Raises:
            ExportError: it is not a flow's, or no table reproduces it.
        """
        scheduler, transformer = material.parts["scheduler"], material.parts[TRANSFORMER]
        height, width = self._sizes(material).latent
        patch = _patch(transformer)
        found = read_scheduler(
            scheduler.class_name,
            scheduler.config,
            guidance_of(material.readme, GUIDANCE),
            Pipeline(tokens=(height // patch) * (width // patch), edge=patch),
        )
        check_flow(found, scheduler, "Stable Diffusion 3")
        return replace(found, recommended=replace(found.recommended, steps=STEPS))

    def card(self, material: Material, sampling: Sampling) -> Card:
        """States and a pooled state of each CLIP encoder, T5's states; one velocity out."""
        parts = material.parts
        sizes = self._sizes(material)
        channels = _channels(parts)
        texts = _texts(material)
        conditions = _conditions(parts, texts)
        _check_widths(parts, conditions)
        recipe = Recipe(
            sizes.layouts(channels),
            network_of(channels, sampling),
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
        from denoisert.export.modules.stable_diffusion_3 import (
            ThreeTextsDenoiser,
            TwoTextsDenoiser,
            keep_positions,
        )

        parts = material.parts
        transformer = parts[TRANSFORMER]
        longest = max(max(layout.parts[0].shape[-2:]) for layout in card.layouts)
        network = keep_positions(build(TRANSFORMER), longest // _patch(transformer))
        denoiser: nn.Module = ThreeTextsDenoiser(network)
        if T5 not in parts:
            denoiser = TwoTextsDenoiser(network, _text_width(transformer), _t5_tokens(material))
        yield denoiser, denoiser_signature(card)
        yield from text_graphs(material, card, build)
        yield from autoencoder_graphs(parts[VAE], card, build)

    def _sizes(self, material: Material) -> Sizes:
        """Sizes whose tokens the table of positions has.

        Raises:
            InvalidInput: a size that the transformer does not divide, or that is too large for it.
        """
        transformer, factor = material.parts[TRANSFORMER], factor_of(material.parts[VAE])
        patch, side = _patch(transformer), whole(transformer, "sample_size", SAMPLE)
        sizes = find_sizes((side, side), factor, material.options, multiple=patch)
        most = patch * whole(transformer, "pos_embed_max_size", POSITIONS)
        for height, width in sizes.latents:
            if max(height, width) > most or height % patch or width % patch:
                raise InvalidInput(
                    f"size {height * factor}x{width * factor} is none of the transformer's: it has "
                    f"tokens of {patch * factor} pixels, and positions for {most * factor} pixels "
                    "along an edge. Ask for such a size."
                )
        return sizes


def _patch(transformer: Component) -> int:
    return whole(transformer, "patch_size", PATCH)


def _text_width(transformer: Component) -> int:
    return whole(transformer, "joint_attention_dim", TEXT_WIDTH)


def _t5_tokens(material: Material) -> int:
    return LENGTHS[material.folder.class_name]


def _channels(parts: Mapping[str, Component]) -> int:
    """Channels of the state, which the transformer takes and returns."""
    transformer = parts[TRANSFORMER]
    channels = state_channels(transformer, latent_channels(parts[VAE]), default=CHANNELS)
    returned = transformer.config.get("out_channels", CHANNELS)
    if returned not in (None, channels):
        raise ExportError(
            f"transformer takes {channels} channels and returns {shown(returned)}; a velocity has "
            "as many as the latent. Use the configuration that the model was saved with."
        )
    return channels


def _texts(material: Material) -> tuple[TextEncoder, ...]:
    """Both CLIP encoders, which are given as many tokens as the first's tokenizer says, and T5."""
    parts, tokens = material.parts, material.tokens
    length = tokens[TEXT].length
    clips = [clip_encoder(parts[name], replace(tokens[name], length=length)) for name in CLIPS]
    if len({text.tokens for text in clips}) > 1:
        raise ExportError(
            f"{' and '.join(CLIPS)} take {clips[0].tokens} and {clips[1].tokens} tokens; their "
            "states stand side by side, so both take the same number. The folder mixes parts of "
            "two models. Take all parts from one."
        )
    if T5 not in parts:
        return tuple(clips)
    if T5 not in tokens:
        raise ExportError(
            f"the folder has {T5} and no {TOKENIZER}; model_index.json names both, or neither for "
            "a model without T5. Save the whole pipeline with save_pretrained."
        )
    return (*clips, t5_encoder(parts[T5], tokens[T5], _t5_tokens(material)))


def _conditions(
    parts: Mapping[str, Component], texts: tuple[TextEncoder, ...]
) -> tuple[ConditionInput, ...]:
    """States of every encoder, then the pooled state of each CLIP encoder."""
    first, second, *third = texts
    states = (
        hidden_condition(first, parts[first.name]),
        hidden_condition(second, parts[second.name], name=f"{STATES}_2"),
        *(states_condition(text, t5_width(parts[T5]), name=f"{STATES}_3") for text in third),
    )
    pooled = (
        projection_condition(first, parts[first.name]),
        projection_condition(second, parts[second.name], name=f"{POOLED}_2"),
    )
    return (*states, *pooled)


def _check_widths(parts: Mapping[str, Component], conditions: tuple[ConditionInput, ...]) -> None:
    """Refuse encoders of another model's transformer, and one that does not fit itself."""
    transformer = parts[TRANSFORMER]
    *states, pooled, pooled_2 = (entry.shape[-1] for entry in conditions)
    _check_states(_text_width(transformer), sum(states[:2]), states[2:])
    vector = whole(transformer, "pooled_projection_dim", POOLED_WIDTH)
    if vector != pooled + pooled_2:
        raise ExportError(
            f"transformer takes a pooled state of {vector} numbers, the projections of the CLIP "
            f"encoders have {pooled} and {pooled_2}; the folder mixes parts of two models. "
            "Take all parts from one."
        )
    heads = whole(transformer, "num_attention_heads", HEADS)
    inner = heads * whole(transformer, "attention_head_dim", HEAD_WIDTH)
    caption = whole(transformer, "caption_projection_dim", INNER_WIDTH)
    if caption != inner:
        raise ExportError(
            f"transformer has caption_projection_dim {caption} and heads of {inner} numbers "
            "together; the two are equal. Use the configuration that the model was saved with."
        )


def _check_states(wanted: int, clip: int, t5: list[int]) -> None:
    """T5's states are as wide as the transformer wants, those of CLIP at most."""
    if clip > wanted:
        raise ExportError(
            f"transformer attends to states of width {wanted}, those of the CLIP encoders are "
            f"{clip} side by side; the folder mixes parts of two models. Take all parts from one."
        )
    if t5 not in ([], [wanted]):
        raise ExportError(
            f"transformer attends to states of width {wanted}, {T5} gives {t5[0]}; the folder "
            "mixes parts of two models. Take all parts from one."
        )

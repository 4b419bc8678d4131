"""Text encoders: their place in a card, and their graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from denoisert.export.families.configuration import whole
from denoisert.export.families.family import Build, Material
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

TEXT: Final = "text_encoder"
STATES: Final = "hidden_states"
POOLED: Final = "pooled"
PROJECTION: Final = "projection"
PROJECTED: Final = 512
"""Width of a projection that does not say its own."""

LAYERS: Final = 12
"""Layers of a CLIP text encoder that does not say how many it has."""

VOCABULARY: Final = 49408
"""Tokens of a CLIP text encoder that does not say how many it knows."""

POSITIONS: Final = 77
"""Positions of one that does not say how many it has."""


def clip_width(encoder: Component) -> int:
    """Width of a CLIP text encoder's states."""
    return whole(encoder, "hidden_size", 512)


def clip_encoder(encoder: Component, tokens: Tokens) -> TextEncoder:
    """A CLIP text encoder with its tokenizer.

    Raises:
        ExportError: the tokenizer has more tokens than the encoder knows, or padding is hidden.
    """
    if encoder.config.get("use_attention_mask"):
        raise ExportError(
            f"{encoder.name} has use_attention_mask: its padding is hidden from it, which the "
            "graph does not do. Remove the key if the model was trained without."
        )
    vocabulary = whole(encoder, "vocab_size", VOCABULARY)
    if tokens.size > vocabulary:
        raise ExportError(
            f"tokenizer has {tokens.size} tokens, {encoder.name} knows {vocabulary}; the folder "
            "mixes parts of two models. Take all parts from one."
        )
    length = min(tokens.length, whole(encoder, "max_position_embeddings", POSITIONS))
    path = tokenizer_path(encoder.name)
    return TextEncoder(encoder.name, path, length, tokens.start, tokens.end, tokens.pad)


def tokenizer_path(encoder: str) -> str:
    """Where the bundle has the tokenizer of a text encoder."""
    return f"tokenizers/{encoder}.json"


def states_condition(text: TextEncoder, width: int, *, name: str = STATES) -> ConditionInput:
    """All states of a text encoder, (L, width)."""
    return ConditionInput(
        name,
        Source.ENCODER_OUTPUT,
        "float32",
        (text.tokens, width),
        encoder=text.name,
        output=STATES,
    )


def hidden_condition(
    text: TextEncoder,
    encoder: Component,
    *,
    skipped: int = 1,
    name: str = STATES,
    null: float | None = None,
) -> ConditionInput:
    """States of an earlier layer of a CLIP text encoder, which no norm has seen, (L, width).

    Args:
        text: the encoder.
        encoder: its configuration.
        skipped: layers behind those whose states are read.
        name: the denoiser's input.
        null: what the uncond branch is fed instead of the states of its prompt.

    Raises:
        ExportError: fewer layers than are skipped.
    """
    layers = whole(encoder, "num_hidden_layers", LAYERS)
    if layers < skipped:
        raise ExportError(
            f"{encoder.name} has {layers} layers, and the states {skipped} before the last are "
            "read; the folder mixes parts of two models. Take all parts from one."
        )
    return ConditionInput(
        name,
        Source.HIDDEN_LAYER,
        "float32",
        (text.tokens, clip_width(encoder)),
        null=null,
        encoder=text.name,
        output=f"hidden_{layers - skipped}",
    )


def pooled_condition(text: TextEncoder, width: int, *, name: str = POOLED) -> ConditionInput:
    """One state for the whole prompt, without a projection, (width,)."""
    return ConditionInput(
        name, Source.POOLED, "float32", (width,), encoder=text.name, output=POOLED
    )


def projection_condition(
    text: TextEncoder, encoder: Component, *, name: str = POOLED, null: float | None = None
) -> ConditionInput:
    """One state for the whole prompt, behind the projection, (width,).

    Args:
        text: the encoder.
        encoder: its configuration.
        name: the denoiser's input.
        null: what the uncond branch is fed instead of the state of its prompt.
    """
    return ConditionInput(
        name,
        Source.POOLED,
        "float32",
        (whole(encoder, "projection_dim", PROJECTED),),
        null=null,
        encoder=text.name,
        output=PROJECTION,
    )


def clip_graphs(
    material: Material, card: Card, build: Build
) -> Iterator[tuple[nn.Module, Signature]]:
    """CLIP text encoders; what is read of each of them the card's conditions say."""
    from denoisert.export.graph.signature import text_signature
    from denoisert.export.modules.clip import CLIPText

    for text in card.texts:
        vocabulary = whole(material.parts[text.name], "vocab_size", VOCABULARY)
        signature = text_signature(card, text, vocabulary)
        yield CLIPText(build(text.name), signature.output_names), signature

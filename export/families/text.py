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
        ExportError: the tokenizer has more tokens than the encoder knows.
    """
    vocabulary = whole(encoder, "vocab_size", VOCABULARY)
    if tokens.size > vocabulary:
        raise ExportError(
            f"tokenizer has {tokens.size} tokens, {encoder.name} knows {vocabulary}; the folder "
            "mixes parts of two models."
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


def clip_graphs(
    material: Material, card: Card, build: Build
) -> Iterator[tuple[nn.Module, Signature]]:
    """CLIP text encoders, of which the last states are read."""
    from denoisert.export.graph.signature import text_signature
    from denoisert.export.modules.text import TextStates

    for text in card.texts:
        vocabulary = whole(material.parts[text.name], "vocab_size", VOCABULARY)
        yield TextStates(build(text.name)), text_signature(card, text, vocabulary)

"""What a tokenizer of any kind comes to: one JSON file, and how a prompt becomes ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_TOKENS: Final = 4096
"""Longest input of a text encoder."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer and how a prompt becomes a text encoder's input.

    Args:
        json: in the format of the `tokenizers` library; encode without special tokens.
        length: tokens of an input.
        size: number of ids.
        start: ids before every prompt.
        end: ids after it.
        pad: id that fills the rest.
    """

    json: bytes
    length: int
    size: int
    start: tuple[int, ...]
    end: tuple[int, ...]
    pad: int

"""Texts of a folder as an error may repeat them."""

from __future__ import annotations

from typing import Final

SHOWN: Final = 80
"""Characters of a foreign text that an error repeats."""

LONGEST: Final = 400
"""Characters of a library's message that an error repeats."""


def shown(value: object) -> str:
    """A foreign value as an error may repeat it: short, and without control characters."""
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def in_one_line(error: Exception) -> str:
    """What a library says, as an error may repeat it: its texts may be those of a folder."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return " ".join(text.split())[:LONGEST]

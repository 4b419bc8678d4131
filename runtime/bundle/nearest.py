"""A size that a bundle was not compiled for is refused with the nearest ones, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import pixel_size, pixel_sizes
from denoisert.runtime.errors import OutOfProfile

SHOWN: Final = 4
"""Sizes that a refusal names; of more, the nearest."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def check_size(card: Card, size: Sequence[int] | None) -> None:
    """Refuse a size that is none of a bundle's.

    Args:
        card: of the bundle.
        size: (height, width) in pixels; None for the default.

    Raises:
        OutOfProfile: it is not compiled; names the nearest that are, and the command for it.
    """
    if size is None or tuple(size) in compiled_sizes(card):
        return
    asked = _text(size)
    if not compiled_sizes(card):
        raise OutOfProfile(
            f"size {asked} asked for, the bundle is compiled for {pixel_sizes(card)}. Leave the "
            "size out."
        )
    height, width = size
    near = nearest_sizes(card, (height, width))
    raise OutOfProfile(
        f"size {asked} asked for, the bundle is compiled for {_compiled(card, near)}. Take "
        f"{_text(near[0])}, the nearest, or compile the model for it, too: denoisert compile MODEL "
        f"-o NEW.bundle --size {_option(card, asked)}"
    )


def compiled_sizes(card: Card) -> tuple[Size, ...]:
    """(height, width) of every picture that a bundle makes, the default first; none of others."""
    sizes = (pixel_size(card, layout) for layout in card.layouts)
    return tuple(size for size in sizes if size is not None)


def nearest_sizes(card: Card, size: Size) -> tuple[Size, ...]:
    """A bundle's sizes, the nearest first: by the ratios of height and of width.

    Args:
        card: of the bundle.
        size: (height, width) in pixels.
    """

    def distance(other: Size) -> float:
        pairs = zip(size, other, strict=True)
        return sum(abs(log(max(1, one) / max(1, two))) for one, two in pairs)

    return tuple(sorted(compiled_sizes(card), key=distance))


def _compiled(card: Card, near: Sequence[Size]) -> str:
    """All sizes, or how many there are and the nearest."""
    if len(near) <= SHOWN:
        return pixel_sizes(card)
    return f"{len(near)} sizes, of which {', '.join(map(_text, near[:SHOWN]))} are the nearest"


def _option(card: Card, asked: str) -> str:
    """What `compile` is told: the sizes that there are, and the new one."""
    sizes = compiled_sizes(card)
    there = [_text(size) for size in sizes] if len(sizes) <= SHOWN else [_text(sizes[0]), "..."]
    return ",".join((*there, asked))


def _text(size: Sequence[int]) -> str:
    return "x".join(map(str, size))

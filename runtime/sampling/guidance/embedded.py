"""Guidance that a network was taught: it is told the scale and answers as if it were guided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.guidance.branches import Branches, Guidance, Unguided
from denoisert.runtime.sampling.rows import Rows


@dataclass(frozen=True, slots=True)
@checked
class EmbeddedGuidance:
    """One evaluation of a network that is told the guidance scale as a number of its own.

    Which input takes the scale is said by the card's `network.guidance`. Also called distilled
    guidance or "w embedding". Not CFG, whose second branch can be had beside it.

    Args:
        scale: what the network is told, as users say it: 1 means no guidance.
        beside: how branches combine that are all told the scale; by default there is one.

    Raises:
        InvalidInput: a scale that is not finite, or one embedded guidance in another.

    Source: Meng et al. 2023, arXiv 2210.03142, section 3.1 (w = scale - 1).
    """

    scale: float = 3.5
    beside: Guidance = field(default_factory=Unguided)

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise InvalidInput(f"embedded guidance scale {self.scale} is not a finite number.")
        if isinstance(self.beside, EmbeddedGuidance):
            raise InvalidInput(
                f"{self.beside} beside another: a network is told one scale. Use CFG(scale) or "
                "leave it out."
            )

    def branches(self, points: Sequence[Point]) -> Branches:
        """Those of `beside`."""
        return self.beside.branches(points)


def with_scale(rows: Rows, scale: float, position: int) -> Rows:
    """The same rows on a network that is told a guidance scale at every stage.

    Args:
        rows: what the solver says, with the scalars that it tells itself.
        scale: the number.
        position: the table's scalar that holds it; scalars of the solver from there on move up.

    Returns:
        Rows with one scalar more, and zeros where the solver tells fewer than stand before it.
    """
    return replace(rows, points=tuple(_told(point, scale, position) for point in rows.points))


def _told(point: Point, scale: float, position: int) -> Point:
    before = point.scalars[:position]
    zeros = (0.0,) * (position - len(before))
    return point._replace(scalars=(*before, *zeros, float(scale), *point.scalars[position:]))

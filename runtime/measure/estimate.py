"""An expected time and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Basis(IntEnum):
    """What an expected time rests on; the smallest of several holds for their sum."""

    UNKNOWN = 0
    MODELLED = 1
    MEASURED = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expected time; estimates add up, and the weakest basis holds for the sum.

    Args:
        seconds: the time, None exactly if unknown.
        basis: what it rests on.
    """

    seconds: float | None = None
    basis: Basis = Basis.UNKNOWN

    def __add__(self, other: Estimate) -> Estimate:
        if self.seconds is None or other.seconds is None:
            return Estimate()
        return Estimate(self.seconds + other.seconds, min(self.basis, other.basis))

    def __mul__(self, count: int) -> Estimate:
        if count == 0:
            return NOTHING
        return Estimate(None if self.seconds is None else self.seconds * count, self.basis)

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown, not measured on this device yet (`denoisert warm`)"
        return f"{self.seconds:.3f} s ({self.basis})"


NOTHING = Estimate(0.0, Basis.MEASURED)

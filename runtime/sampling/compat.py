"""Whose arithmetic a solver follows where a published implementation deviates from its paper."""

from __future__ import annotations

from enum import Enum


class Compat(Enum):
    """PAPER: the formula that has the stated order. DIFFUSERS: what diffusers 0.42.1 computes.

    Only the places where the two differ are affected; each solver with the choice names them.
    """

    PAPER = "paper"
    DIFFUSERS = "diffusers"

    def __repr__(self) -> str:
        return f"Compat.{self.name}"

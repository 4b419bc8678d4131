"""Which branches each stage evaluates and how their raw outputs combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Point

COND = 0
UNCOND = 1


@dataclass(frozen=True, slots=True)
class Branches:
    """B branches over S stages.

    Args:
        conditions: (B,) condition that each branch is fed: 0 cond, 1 uncond or negative, ...
        weights: (S, B), G = sum_b w_b F_b; 0 skips the branch. Every stage sums to 1.
        rule: (S,) id of the guidance rule, 0 where the weights are all there is.
        rule_args: (S, 8) arguments of the rule, whose vector V_b is branch b.
    """

    conditions: tuple[int, ...]
    weights: NDArray[np.float64]
    rule: NDArray[np.int64]
    rule_args: NDArray[np.float64]

    @classmethod
    def linear(cls, conditions: tuple[int, ...], weights: NDArray[np.float64]) -> Branches:
        """Branches that only need their weights."""
        stages = len(weights)
        return cls(conditions, weights, np.zeros(stages, np.int64), np.zeros((stages, 8)))


@runtime_checkable
class Guidance(Protocol):
    """Anything that can say which branches to evaluate at the given points."""

    def branches(self, points: Sequence[Point]) -> Branches:
        """The branches of every stage."""
        ...


@dataclass(frozen=True, slots=True)
@checked
class Unguided:
    """One branch, the condition alone."""

    def branches(self, points: Sequence[Point]) -> Branches:
        """One branch of weight 1 at every stage."""
        return Branches.linear((COND,), np.ones((len(points), 1)))

"""Scratch memory of the rules on a CPU: products, sums and weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.gram import cpu as gram
from denoisert.kernels.rule import PER_CHANNEL, VECTORS
from denoisert.kernels.rule import cpu as rule
from denoisert.runtime.devices.instructions import Instruction

Array = NDArray[np.float32]
Weights = NDArray[np.float64]

CARRIED = 4
"""Scalars that a rule keeps for a slot, or for each of its channels."""


class _Scratch(NamedTuple):
    """What one number of vectors and channels works in."""

    products: Weights
    sums: Weights
    space: gram.Workspace
    weights: Weights

    @classmethod
    def of(cls, count: int, channels: int, space: gram.Workspace) -> _Scratch:
        products, sums = np.zeros((channels, count, count)), np.zeros((channels, count))
        return cls(products, sums, gram.narrowed(space, count), np.zeros((channels, count)))


class RuleScratch:
    """Scratch memory of gram and rule, per number of vectors and of channels.

    Args:
        channels: of the state, 0 where they differ in size; then no rule weighs them apart.
    """

    def __init__(self, channels: int = 0) -> None:
        shapes = {
            (count, channels if is_split else 1)
            for count, is_split in zip(VECTORS[1:], PER_CHANNEL[1:], strict=True)
            if channels or not is_split
        }
        space = gram.workspace(max(VECTORS))
        self._sizes = {shape: _Scratch.of(*shape, space) for shape in shapes}

    @property
    def nbytes(self) -> int:
        """Memory that grows with the channels."""
        return sum(each.products.nbytes + 2 * each.sums.nbytes for each in self._sizes.values())

    def weights(self, instruction: Instruction, vectors: Array, carried: Weights) -> Weights:
        """g of one row on one slot, (1, M), or (channels, M) of a rule that weighs every channel.

        Args:
            instruction: names the rule and its arguments.
            vectors: V, (M, elements).
            carried: scalars of the slot, then of its channels, (1 + channels, 4), updated.
        """
        own = carried[1:] if PER_CHANNEL[instruction.rule] else carried[:1]
        channels = len(own)
        scratch = self._sizes[len(vectors), channels]
        out = scratch.products, scratch.sums
        gram.gram(vectors, channels, out=out, workspace=scratch.space)
        rule.apply(
            instruction.rule,
            *out,
            vectors.shape[1] // channels,
            instruction.rule_args,
            carried=own,
            out=scratch.weights,
        )
        return scratch.weights

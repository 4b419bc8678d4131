"""Scratch memory of the guidance rules on a CPU: products, sums and weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.gram import cpu as gram
from denoisert.kernels.rule import VECTORS
from denoisert.kernels.rule import cpu as rule
from denoisert.runtime.devices.instructions import Instruction

Array = NDArray[np.float32]
Weights = NDArray[np.float64]


class RuleScratch:
    """Scratch memory of gram and rule, per number of vectors."""

    def __init__(self) -> None:
        self._sizes = {
            count: (
                np.zeros((1, count, count)),
                np.zeros((1, count)),
                gram.workspace(count),
                np.zeros((1, count)),
            )
            for count in set(VECTORS) - {0}
        }

    def weights(self, instruction: Instruction, vectors: Array, carried: Weights) -> Weights:
        """g of one row on one slot, (1, M).

        Args:
            instruction: names the rule and its arguments.
            vectors: V, (M, elements).
            carried: the slot's scalars, (1, 4), updated.
        """
        products, sums, scratch, out = self._sizes[len(vectors)]
        gram.gram(vectors, 1, out=(products, sums), workspace=scratch)
        rule.apply(
            instruction.rule,
            products,
            sums,
            vectors.shape[1],
            instruction.rule_args,
            carried=carried,
            out=out,
        )
        return out

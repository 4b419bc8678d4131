"""Gram and rule over all slots of a pool, for whole slots or for every channel of them."""

from __future__ import annotations

import torch
from torch import Tensor

from denoisert.kernels.gram import launch as gram
from denoisert.kernels.rule import launch as rule
from denoisert.kernels.step.form import VECTORS
from denoisert.runtime.devices.torch.stage import Stage


class Weigher:
    """Products, sums, weights and carried scalars of one number of channels.

    Args:
        slots: capacity of the pool.
        channels: 1 for whole slots.
        elements: of the state.
        stage: of the device.
    """

    def __init__(self, slots: int, channels: int, elements: int, stage: Stage) -> None:
        wide, place = torch.float64, (slots, channels)
        self._elements, self._channels = elements, channels
        self.carried = stage.zeros(*place, VECTORS, dtype=wide)
        self.weights = stage.zeros(*place, VECTORS)
        self._products = stage.zeros(*place, VECTORS, VECTORS, dtype=wide)
        self._sums = stage.zeros(*place, VECTORS, dtype=wide)
        self._partials = stage.zeros(*gram.workspace(*place, elements), dtype=wide)
        self._is_whole = stage.zeros(slots, 1, 1, dtype=torch.bool)

    def run(self, vectors: Tensor, asked: Tensor, args: Tensor, *, out: Tensor) -> None:
        """Weights of the slots whose rule is of this number of channels.

        Args:
            vectors: (slots, 4, pitch) float32.
            asked: number of vectors and rule of these slots, 0 for the others, (2, slots) int32.
            args: (slots, 8) float64.
            out: (slots, channels, 4) float32.
        """
        gram.gram(
            vectors,
            asked[0],
            elements=self._elements,
            channels=self._channels,
            out=(self._products, self._sums),
            workspace=self._partials,
        )
        rule.apply(
            asked[1],
            self._products,
            self._sums,
            count=self._elements // self._channels,
            args=args,
            carried=self.carried,
            out=out,
        )

    def spread(self, whole: Tensor, rules: Tensor) -> None:
        """Give every channel of the slots weighed as a whole their weights.

        Args:
            whole: (slots, 1, 4) float32.
            rules: (slots,) int32 of whole slots, 0 for the others.
        """
        torch.ne(rules[:, None, None], 0, out=self._is_whole)
        torch.where(self._is_whole, whole, self.weights, out=self.weights)

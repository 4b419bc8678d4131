"""What comes before the update where rows ask for it: guidance rules and quantiles."""

from __future__ import annotations

from typing import NamedTuple

import torch

from denoisert.kernels.gram import launch as gram
from denoisert.kernels.quantile import launch as quantile
from denoisert.kernels.rule import launch as rule
from denoisert.kernels.step import launch as step
from denoisert.kernels.step.form import ARGUMENTS, VECTORS
from denoisert.kernels.step.record import RULE_ARGS
from denoisert.kernels.step.space import Space
from denoisert.runtime.devices.torch.stage import Stage


class Wanted(NamedTuple):
    """Which passes a tick runs."""

    rule: bool = False
    quantile: bool = False


class Passes:
    """Scratch memory of a pool's rules and quantiles.

    Args:
        slots: capacity of the pool.
        elements: of the state.
        pitch: floats from one vector to the next.
        stage: of the device.
    """

    def __init__(self, slots: int, elements: int, pitch: int, stage: Stage) -> None:
        wide, whole = torch.float64, torch.int32
        self._elements = elements
        self.carried = stage.zeros(slots, 1, VECTORS, dtype=wide)
        self._vectors = stage.zeros(slots, VECTORS, pitch)
        self._values = stage.zeros(slots, pitch)
        self._counts, self._rules = stage.zeros(2, slots, dtype=whole)
        self._args = stage.zeros(slots, RULE_ARGS, dtype=wide)
        self._products = stage.zeros(slots, 1, VECTORS, VECTORS, dtype=wide)
        self._sums = stage.zeros(slots, 1, VECTORS, dtype=wide)
        self._partials = stage.zeros(*gram.workspace(slots, 1, elements), dtype=wide)
        self._ratios, self._quantiles = stage.zeros(2, slots)
        self._histograms = stage.zeros(*quantile.workspace(slots), dtype=whole)

    def run(self, space: Space, wanted: Wanted) -> None:
        """Find the weights of rules and the thresholds of operations.

        Args:
            space: of the pool; what is found is written there.
            wanted: by the rows that run next.
        """
        if wanted.rule:
            self._weigh(space)
        if wanted.quantile:
            for order in range(ARGUMENTS):
                self._measure(space, order)

    def _weigh(self, space: Space) -> None:
        step.vectors(space, self._vectors, counts=self._counts, rules=self._rules, args=self._args)
        gram.gram(
            self._vectors,
            self._counts,
            elements=self._elements,
            channels=1,
            out=(self._products, self._sums),
            workspace=self._partials,
        )
        rule.apply(
            self._rules,
            self._products,
            self._sums,
            count=self._elements,
            args=self._args,
            carried=self.carried,
            out=space.found[0],
        )

    def _measure(self, space: Space, order: int) -> None:
        values = self._values
        step.argument(space, order, values, ratios=self._ratios)
        quantile.quantile(
            values,
            self._ratios,
            elements=self._elements,
            out=self._quantiles,
            workspace=self._histograms,
        )
        space.found[1][:, order].copy_(self._quantiles)

"""What comes before the update where rows ask for it: rules and quantiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from denoisert.kernels.quantile import launch as quantile
from denoisert.kernels.rule import PER_CHANNEL
from denoisert.kernels.step import launch as step
from denoisert.kernels.step.form import ARGUMENTS, VECTORS
from denoisert.kernels.step.record import RULE_ARGS
from denoisert.kernels.step.space import Space
from denoisert.runtime.devices.instructions import Instruction
from denoisert.runtime.devices.torch.spaces import channel_tiles, has_wide_channels
from denoisert.runtime.devices.torch.stage import Stage
from denoisert.runtime.devices.torch.weigher import Weigher
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.table import SamplerTable


class Wanted(NamedTuple):
    """Which passes a tick runs.

    Args:
        rule: weights of whole slots.
        quantile: thresholds.
        channels: weights of every channel.
    """

    rule: bool = False
    quantile: bool = False
    channels: bool = False

    @classmethod
    def of(cls, rows: Iterable[Instruction]) -> Wanted:
        """What rows that run together ask for."""
        found = [(row.rule, row.has_quantile) for row in rows]
        return cls(
            any(rule and not PER_CHANNEL[rule] for rule, _ in found),
            any(has_quantile for _, has_quantile in found),
            any(PER_CHANNEL[rule] for rule, _ in found),
        )


class _Channels(NamedTuple):
    """What there is once a table weighs every channel.

    Args:
        weigher: of all channels.
        tiles: of the state, each in one channel.
        is_split: (rules,) int32, 1 where a rule weighs every channel.
        divided: (2, 2, slots) int32, what is asked of whole slots and of channels.
    """

    weigher: Weigher
    tiles: torch.Tensor
    is_split: torch.Tensor
    divided: torch.Tensor

    def divide(self, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers of vectors and rules, (2, slots), of whole slots and of channels, 0 elsewhere."""
        whole, split = self.divided
        torch.index_select(self.is_split, 0, asked[1], out=whole[0])
        torch.mul(asked, whole[0], out=split)
        torch.sub(asked, split, out=whole)
        return whole, split


class Passes:
    """Scratch memory of a pool's rules and quantiles, and the scalars that rules carry.

    Args:
        slots: capacity of the pool.
        layout: of the state.
        pitch: floats from one vector to the next.
        stage: of the device.
    """

    def __init__(self, slots: int, layout: StateLayout, pitch: int, stage: Stage) -> None:
        whole = torch.int32
        self._slots, self._layout, self._stage = slots, layout, stage
        self._whole = Weigher(slots, 1, layout.elements, stage)
        self._channels: _Channels | None = None
        self._vectors = stage.zeros(slots, VECTORS, pitch)
        self._values = stage.zeros(slots, pitch)
        self._asked = stage.zeros(2, slots, dtype=whole)  # vectors of the rule, and its number
        self._args = stage.zeros(slots, RULE_ARGS, dtype=torch.float64)
        self._ratios, self._quantiles = stage.zeros(2, slots)
        self._histograms = stage.zeros(*quantile.workspace(slots), dtype=whole)

    def prepare(self, table: SamplerTable) -> None:
        """Take memory for every channel when the first table comes that weighs them apart."""
        if self._channels is None and any(PER_CHANNEL[rule] for rule in table.rule):
            layout = self._layout
            self._channels = _Channels(
                Weigher(self._slots, layout.channels, layout.elements, self._stage),
                self._stage.upload(channel_tiles(layout)),
                self._stage.upload(np.array(PER_CHANNEL, np.int32)),
                self._stage.zeros(2, 2, self._slots, dtype=torch.int32),
            )

    def run(self, space: Space, wanted: Wanted) -> None:
        """Find the weights of rules and the thresholds of operations.

        Args:
            space: of the pool; what is found is written where `space` says.
            wanted: by the rows that run next.
        """
        if wanted.rule or wanted.channels:
            counts, rules = self._asked
            step.vectors(space, self._vectors, counts=counts, rules=rules, args=self._args)
            self._weigh(space, wanted)
        if wanted.quantile:
            for order in range(ARGUMENTS):
                self._measure(self.space(space, wanted), order)

    def space(self, space: Space, wanted: Wanted) -> Space:
        """What the update runs in: where channels have weights, every tile lies in one of them."""
        if not wanted.channels or self._channels is None:
            return space
        return replace(
            space,
            found=(self._channels.weigher.weights, space.found[1]),
            tiles=self._channels.tiles,
            is_aligned=space.is_aligned and has_wide_channels(self._layout),
        )

    def spaces(self, space: Space) -> tuple[Space, ...]:
        """The spaces that take kernels of their own, for tables to come, too."""
        narrow = self._layout.channels and not has_wide_channels(self._layout)
        return (space, replace(space, is_aligned=False)) if narrow else (space,)

    def carried(self, slot: int) -> torch.Tensor:
        """A copy of the scalars of a slot, then of its channels if rules keep any there."""
        return torch.cat([each.carried[slot] for each in self._weighers()])

    def carry(self, slot: int, scalars: torch.Tensor | None = None) -> None:
        """Put scalars as `carried` gives them into a slot; without any they are 0."""
        first = 0
        for each in self._weighers():
            own = each.carried[slot]
            if scalars is None or first >= len(scalars):
                own.zero_()
            else:
                own.copy_(scalars[first : first + len(own)])
            first += len(own)

    def _weighers(self) -> tuple[Weigher, ...]:
        return (self._whole,) if self._channels is None else (self._whole, self._channels.weigher)

    def _weigh(self, space: Space, wanted: Wanted) -> None:
        """Weights of whole slots, and in the same tick those of every channel."""
        if self._channels is None or not wanted.channels:
            self._whole.run(self._vectors, self._asked, self._args, out=space.found[0])
            return
        whole, split = self._channels.divide(self._asked)
        weigher = self._channels.weigher
        weigher.run(self._vectors, split, self._args, out=weigher.weights)
        if wanted.rule:
            self._whole.run(self._vectors, whole, self._args, out=space.found[0])
            weigher.spread(space.found[0], whole[1])

    def _measure(self, space: Space, order: int) -> None:
        values = self._values
        step.argument(space, order, values, ratios=self._ratios)
        quantile.quantile(
            values,
            self._ratios,
            elements=self._layout.elements,
            out=self._quantiles,
            workspace=self._histograms,
        )
        space.found[1][:, order].copy_(self._quantiles)

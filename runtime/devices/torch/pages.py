"""Externals and tapes of the slots: arrays that a kernel reaches by an address of its slot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.torch.stage import Stage
from denoisert.runtime.loop.slot import Slot

Array = NDArray[Any]


class _Held(NamedTuple):
    """An array of the host and its pages on the device."""

    values: Array
    pages: Tensor


class Pages:
    """What the works in a pool's slots read from outside and record.

    Args:
        slots: capacity of the pool.
        pitch: floats from one page to the next.
        elements: of a page.
        stage: of the device.
    """

    def __init__(self, slots: int, pitch: int, elements: int, stage: Stage) -> None:
        self._pitch, self._elements, self._stage = pitch, elements, stage
        self._externals: list[list[_Held]] = [[] for _ in range(slots)]
        self._tapes: list[list[Tensor]] = [[] for _ in range(slots)]

    def admit(self, slot: Slot, recorded: Sequence[Array] = ()) -> None:
        """Bring a work's externals, and give it tapes.

        Args:
            slot: its place.
            recorded: what its tapes hold already; none means empty ones.
        """
        table = slot.work.table
        self._externals[slot.index] = [
            self._held(slot.work.externals[name]) for name in table.externals
        ]
        self._tapes[slot.index] = [*(self._page(tape) for tape in recorded)] or [
            self._stage.zeros(count, self._pitch) for count in table.tape_pages
        ]

    def addresses(self, slot: Slot, form: Form) -> Tensor:
        """Of its externals and tapes in a column space, 0 where there is none."""
        found = np.zeros(form.externals + form.taps, np.int64)
        for index, external in enumerate(self._externals[slot.index]):
            found[index] = external.pages.data_ptr()
        for index, tape in enumerate(self._tapes[slot.index]):
            found[form.externals + index] = tape.data_ptr()
        return self._stage.upload(found)

    def preview(self, slot: Slot) -> NDArray[np.float32]:
        """A copy of the last tape's first page."""
        return self._stage.download(self._tapes[slot.index][-1][0, : self._elements])

    def tapes(self, slot: Slot) -> tuple[NDArray[np.float32], ...]:
        """A copy of every tape."""
        return tuple(
            self._stage.download(tape[:, : self._elements]) for tape in self._tapes[slot.index]
        )

    def _held(self, values: Array) -> _Held:
        """An array that nobody writes is brought once for all slots: pictures of one request."""
        for held in chain.from_iterable(self._externals):
            if held.values is values and not values.flags.writeable:
                return held
        return _Held(values, self._page(values))

    def _page(self, values: Array) -> Tensor:
        """Pages of `elements` numbers, each at its pitch."""
        padded = self._stage.zeros(len(values), self._pitch)
        padded[:, : self._elements] = self._stage.upload(values.astype(np.float32, copy=False))
        return padded

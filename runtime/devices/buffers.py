"""Lane buffers of one engine on a CPU, and the views through which slots reach their lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.lanes import cpu as lanes_kernel
from denoisert.kernels.step.form import Form
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Buffer, Port
from denoisert.runtime.loop.lanes import Lane
from denoisert.runtime.loop.slot import Slot

Array = NDArray[np.float32]


@dataclass(slots=True)
class SlotViews:
    """Where one slot reads and writes while the lane map stays.

    Neighbouring lanes of a slot are read and written together.

    Args:
        predictions: (columns of the slot, parts of output lanes) pairs to copy before the update.
        inputs: (positions, span of the state, input lanes) to write after it.
        times: (positions, times of these lanes).
        scalars: (positions, index of the scalar, its lanes).
    """

    predictions: list[tuple[Array, Array]] = field(default_factory=list)
    inputs: list[tuple[slice, slice, Array]] = field(default_factory=list)
    times: list[tuple[slice, Array]] = field(default_factory=list)
    scalars: list[tuple[slice, int, Array]] = field(default_factory=list)


class Reading(NamedTuple):
    """A branch reads a lane.

    Args:
        port: of the network.
        column: the branch's index in the table.
        lane: of the engine's batch.
    """

    port: int
    column: int
    lane: int


class LaneBuffers:
    """Inputs, outputs and condition bank of one engine.

    Args:
        denoiser: the engine and what its ports mean.
        slots: capacity of the pool.
        branches: B of the pool's column space.
        lanes: most lanes of one slot.
    """

    def __init__(self, denoiser: Denoiser, slots: int, branches: int, lanes: int) -> None:
        self._denoiser = denoiser
        self._branches = branches
        capacity = _capacity(denoiser, slots, lanes)
        ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
        self._buffers = {port.name: _lane_buffer(port, capacity) for port in ports}
        if denoiser.has_scalar_time:
            time = next(port for port in ports if port.name == denoiser.network.time)
            self._buffers[time.name] = np.zeros(capacity, np.dtype(time.dtype))
        self.bank = {  # in the engine's own types, which halves of the card's may be
            port.name: np.zeros((slots * branches, *port.shape(1)[1:]), np.dtype(port.dtype))
            for port in denoiser.banked
        }

    def restore(self, bank: dict[str, Buffer], branches: int) -> None:
        """Take over the conditions of a smaller column space."""
        for name, values in bank.items():
            slots = len(values) // branches
            shape: tuple[int, ...] = values.shape[1:]
            target = self.bank[name].reshape(slots, self._branches, *shape)
            target[:, :branches] = values.reshape(slots, branches, *shape)

    def write_conditions(self, slot: Slot) -> None:
        """Put the conditions of a slot's work into the bank."""
        first = slot.index * self._branches
        for index, condition in enumerate(slot.work.conditions):
            for name, values in self.bank.items():
                values[first + index] = condition[name]

    def slices(self, first: int, count: int) -> dict[str, Buffer]:
        """Every buffer's lanes first .. first + count - 1, a scalar time as its first lane."""
        return self._denoiser.slices(self._buffers, first, count)

    def map_lanes(
        self,
        lanes: Sequence[Lane],
        columns: Array,
        form: Form,
        views: Sequence[SlotViews],
    ) -> None:
        """Gather conditions by lane and lay the views of every slot.

        Args:
            lanes: this engine's lanes.
            columns: (slots, columns, elements) of the pool.
            form: the pool's column space.
            views: per slot, extended here.
        """
        if not lanes:
            return
        rows = [lane.slot * self._branches + lane.ask.condition for lane in lanes]
        # Padding lanes repeat lane 0's condition; their outputs are never read.
        index = np.array(rows + rows[:1] * self._denoiser.engine.buckets[-1], np.intp)
        for name, bank in self.bank.items():
            lanes_kernel.gather(bank, index, out=self._buffers[name][: index.size])
        start = 0
        for stop in range(1, len(lanes) + 1):
            if stop == len(lanes) or not _is_next(lanes[stop - 1], lanes[stop]):
                first = lanes[start]
                self._lay(first.position, slice(start, stop), views[first.slot])
                readings = [
                    Reading(port, form.branch(column), start + number)
                    for number, lane in enumerate(lanes[start:stop])
                    for column, port in lane.ask.reads
                ]
                self._read(readings, columns[first.slot], views[first.slot])
                start = stop

    def _read(self, readings: Sequence[Reading], columns: Array, views: SlotViews) -> None:
        """Lay what a slot reads; neighbouring columns of neighbouring lanes are read at once."""
        layout = self._denoiser.layout
        for (port, column, lane), count in _neighbours(readings):
            for piece in self._denoiser.network.ports[port]:
                start, stop = layout.ranges[piece.part]
                stride = layout.parts[piece.part].channel_stride
                channels = slice(piece.first * stride, (piece.first + piece.channels) * stride)
                source = _flat(self._buffers[piece.output])[lane : lane + count, channels]
                views.predictions.append((columns[column : column + count, start:stop], source))

    def _lay(self, position: int, span: slice, views: SlotViews) -> None:
        """Lay what a slot writes into its neighbouring lanes, the first of which is `position`."""
        layout, network = self._denoiser.layout, self._denoiser.network
        positions = slice(position, position + span.stop - span.start)
        for part, (start, stop) in zip(layout.parts, layout.ranges, strict=True):
            lanes = _flat(self._buffers[part.name])[span]
            views.inputs.append((positions, slice(start, stop), lanes))
        views.times.append((positions, self._buffers[network.time][span]))
        for index, name in enumerate(network.scalars):
            views.scalars.append((positions, index, self._buffers[name][span]))


def write_scaled(lanes: Array, source: Array, scale: np.float32) -> None:
    """Write a register into input lanes, times its scale.

    Args:
        lanes: (elements of a part,) or (lanes, elements).
        source: (elements,).
        scale: 1 copies bit for bit.
    """
    if scale == 1.0:
        lanes[...] = source
    else:
        np.multiply(source, scale, lanes)


def lane_bytes(denoiser: Denoiser, slots: int, branches: int, lanes: int) -> int:
    """Memory of the lanes and the condition bank of one engine, before they exist.

    Args:
        denoiser: the engine and what its ports mean.
        slots: capacity of the pool.
        branches: B of the pool's column space.
        lanes: most lanes of one slot.

    Returns:
        Bytes.
    """
    ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
    lane = sum(_lane_buffer(port, 1).nbytes for port in ports)
    banked = sum(_lane_buffer(port, 1).nbytes for port in denoiser.banked)
    size: int = _capacity(denoiser, slots, lanes) * lane + slots * branches * banked
    return size


def _capacity(denoiser: Denoiser, slots: int, lanes: int) -> int:
    """Lanes of whole calls: the last one may need padding up to its bucket."""
    return slots * lanes + denoiser.engine.buckets[-1]


def _is_next(lane: Lane, other: Lane) -> bool:
    """Whether two neighbouring lanes are neighbours among what one slot asks."""
    return (lane.slot, lane.position + 1) == (other.slot, other.position)


def _neighbours(readings: Sequence[Reading]) -> Iterator[tuple[Reading, int]]:
    """Readings at one port whose columns and lanes both go up by one: the first, and how many."""

    def run(numbered: tuple[int, Reading]) -> tuple[int, int, int]:
        number, (port, column, lane) = numbered
        return port, column - number, lane - number

    for _, group in groupby(enumerate(sorted(readings)), key=run):
        members = [reading for _, reading in group]
        yield members[0], len(members)


def _flat(buffer: Buffer) -> Buffer:
    """A view of lanes as flat vectors."""
    return buffer.reshape(len(buffer), -1)


def _lane_buffer(port: Port, lanes: int) -> Buffer:
    """A buffer of `lanes` lanes, whether or not the graph fixes its batch."""
    return np.zeros((lanes, *(int(size) for size in port.dims[1:])), np.dtype(port.dtype))

"""Lane buffers of one engine on a device, and the addresses by which kernels reach them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoisert.kernels.lanes.launch import gather
from denoisert.kernels.step.record import lane_width
from denoisert.runtime.devices.torch.stage import Stage
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import BuildError
from denoisert.runtime.loop.lanes import Lane
from denoisert.runtime.loop.slot import Slot

Addresses = NDArray[np.int64]

STATES = ("float32", "float16", "bfloat16")


class LaneTensors:
    """Inputs, outputs and condition bank of one engine.

    The step kernel writes times and scalars as float32; where a port wants another type, `cast`
    copies them, as a part of the tick.

    Args:
        denoiser: the engine and what its ports mean.
        slots: capacity of the pool.
        branches: B of the pool's column space.
        lanes: most lanes of one slot.
        stage: of the device.
    """

    def __init__(
        self, denoiser: Denoiser, slots: int, branches: int, lanes: int, stage: Stage
    ) -> None:
        self._denoiser, self._branches, self._stage = denoiser, branches, stage
        capacity = _capacity(denoiser, slots, lanes)
        ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
        network = denoiser.network
        self._buffers = {port.name: self._buffer(port, capacity) for port in ports}
        told = (network.time, *network.scalars)
        if denoiser.has_scalar_time:
            kind = self._buffers[network.time].dtype
            self._buffers[network.time] = stage.zeros(capacity, dtype=kind)
        self._told = {
            name: self._buffers[name]
            if self._buffers[name].dtype == torch.float32
            else stage.zeros(capacity)
            for name in told
        }
        self.bank = {
            port.name: stage.zeros(
                slots * branches, *port.shape(1)[1:], dtype=self._buffers[port.name].dtype
            )
            for port in denoiser.banked
        }

    def _buffer(self, port: Port, capacity: int) -> Tensor:
        shape = (capacity, *(int(size) for size in port.dims[1:]))
        return self._stage.zeros(*shape, dtype=getattr(torch, port.dtype))

    def restore(self, bank: dict[str, Tensor], branches: int) -> None:
        """Take over the conditions of a smaller column space."""
        for name, values in bank.items():
            shape = values.shape[1:]
            target = self.bank[name].view(-1, self._branches, *shape)
            target[:, :branches] = values.view(-1, branches, *shape)

    def write_conditions(self, slot: Slot) -> None:
        """Put the conditions of a slot's work into the bank."""
        first = slot.index * self._branches
        for index, condition in enumerate(slot.work.conditions):
            for name, values in self.bank.items():
                values[first + index] = self._stage.upload(np.asarray(condition[name]))

    def slices(self, first: int, count: int) -> dict[str, Tensor]:
        """Every buffer's lanes first .. first + count - 1, a scalar time as its first lane."""
        return self._denoiser.slices(self._buffers, first, count)

    def cast(self) -> None:
        """Bring times and scalars into the types of their ports."""
        for name, told in self._told.items():
            if told is not self._buffers[name]:
                self._buffers[name].copy_(told)

    def map_lanes(self, lanes: Sequence[Lane], table: Addresses) -> None:
        """Gather conditions by lane and note where every slot reads and writes.

        Args:
            lanes: this engine's lanes.
            table: (slots, B, lane_width(parts)), filled here.
        """
        if not lanes:
            return
        rows = [lane.slot * self._branches + lane.ask.condition for lane in lanes]
        # Padding lanes repeat lane 0's condition; their outputs are never read.
        rows += rows[:1] * self._denoiser.engine.buckets[-1]
        index = self._stage.upload(np.array(rows, np.int32))
        for name, bank in self.bank.items():
            gather(bank, index, out=self._buffers[name][: len(rows)])
        for number, lane in enumerate(lanes):
            self._note(number, lane, table[lane.slot])

    def _note(self, number: int, lane: Lane, table: Addresses) -> None:
        """Addresses of one lane and its branches, as if its part began at element 0 of the state.

        What a lane is told stands at its position, what a branch reads at its column; a branch
        without a lane of its own has nowhere to write.
        """
        layout, network = self._denoiser.layout, self._denoiser.network
        parts = len(layout.parts)
        for part, (start, _) in enumerate(layout.ranges):
            buffer = self._buffers[layout.parts[part].name]
            table[lane.position, parts + part] = _address(buffer, number, -start)
        for column, port in lane.ask.reads:
            for piece in network.ports[port]:
                start = layout.ranges[piece.part][0]
                first = piece.first * layout.parts[piece.part].channel_stride
                buffer = self._buffers[piece.output]
                table[column, piece.part] = _address(buffer, number, first - start)
        for place, name in enumerate((network.time, *network.scalars)):
            table[lane.position, 2 * parts + place] = _address(self._told[name], number, 0)

    @property
    def states(self) -> list[Tensor]:
        """The buffers that hold states: inputs of the parts and outputs of the ports."""
        layout, network = self._denoiser.layout, self._denoiser.network
        outputs = {piece.output for port in network.ports for piece in port}
        return [self._buffers[name] for name in (*(p.name for p in layout.parts), *outputs)]


def state_dtype(denoisers: Sequence[Denoiser]) -> torch.dtype:
    """The type of all latents and predictions of a pool.

    Raises:
        BuildError: engines that differ in it, or one that no kernel reads.
    """
    kinds = set()
    for denoiser in denoisers:
        outputs = {piece.output for port in denoiser.network.ports for piece in port}
        names = {part.name for part in denoiser.layout.parts} | outputs
        ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
        kinds |= {port.dtype for port in ports if port.name in names}
    if len(kinds) != 1 or not kinds <= set(STATES):
        raise BuildError(
            f"latents and predictions of this pool are {sorted(kinds)}; kernels read one of "
            f"{', '.join(STATES)}. Load all engines with one dtype."
        )
    found: torch.dtype = getattr(torch, kinds.pop())
    return found


def lane_bytes(denoiser: Denoiser, slots: int, branches: int, lanes: int) -> int:
    """Memory of the lanes and the condition bank of one engine, before they exist."""
    ports = (*denoiser.engine.inputs, *denoiser.engine.outputs)
    sizes = {port.name: getattr(torch, port.dtype).itemsize for port in ports}
    lane = sum(sizes[p.name] * math.prod(int(size) for size in p.dims[1:]) for p in ports)
    banked = sum(sizes[port.name] * math.prod(port.shape(1)[1:]) for port in denoiser.banked)
    addresses = 8 * lane_width(len(denoiser.layout.parts))
    capacity = _capacity(denoiser, slots, lanes)
    size: int = capacity * lane + slots * branches * (banked + addresses)
    return size


def _capacity(denoiser: Denoiser, slots: int, lanes: int) -> int:
    """Lanes of whole calls: the last one may need padding up to its bucket."""
    return slots * lanes + denoiser.engine.buckets[-1]


def _address(buffer: Tensor, lane: int, element: int) -> int:
    size = buffer.element_size()
    return buffer.data_ptr() + (lane * buffer.stride(0) + element) * size

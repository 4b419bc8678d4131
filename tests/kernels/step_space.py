"""A pool's memory for the step kernels, made of columns and rows as the reference takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from denoisert.kernels.step import record as r
from denoisert.kernels.step.encode import Surroundings, encode
from denoisert.kernels.step.space import Space
from denoisert.kernels.step.variants import BLOCK

POISON = 7e33
ROWS, PAGES = 4, 3


def tiles_of(bounds, block, channels=1):
    """Tiles of parts (first, last), each in equal channels: (tiles, TILE) int32."""
    rows = []
    for part, (first, last) in enumerate(bounds):
        size = (last - first) // channels
        for channel in range(channels):
            low, high = first + channel * size, first + (channel + 1) * size
            rows += [
                (start, max(start, low), min(start + block, high), part, channel, 0, 0, 0)
                for start in range(low // block * block, high, block)
            ]
    return torch.tensor(rows, dtype=torch.int32)


@dataclass
class Place:
    """A pool of some slots; every tensor that kernels reach by address is kept here."""

    space: Space
    elements: int
    outputs: torch.Tensor
    inputs: torch.Tensor
    times: torch.Tensor
    scalars: torch.Tensor
    externals: torch.Tensor
    tapes: torch.Tensor

    def registers(self, slot):
        return self.space.registers[slot, :, : self.elements].double().cpu().numpy()

    def lanes(self, slot):
        return self.inputs[slot].double().cpu().numpy()


def place(
    form, device, *, slots=1, elements=64, bounds=None, channels=1, dtype=torch.float32,
    aligned=False,
):  # fmt: skip
    """Memory full of poison, with lanes for every branch of every slot."""
    record = r.Record(form)
    bounds = bounds or ((0, elements),)
    pitch = -(-elements // 64) * 64
    parts, width = len(bounds), r.lane_width(len(bounds))

    def full(*shape, kind=torch.float32, value=POISON):
        return torch.full(shape, value, dtype=kind, device=device)

    outputs = full(slots, form.branches, elements, kind=dtype, value=float("nan"))
    inputs = full(slots, form.branches, elements, kind=dtype, value=float("nan"))
    times = full(slots, form.branches)
    scalars = full(slots, form.branches, 4)
    externals = full(slots, max(form.externals, 1), PAGES, pitch)
    tapes = full(slots, max(form.taps, 1), PAGES, pitch)
    lanes = torch.zeros(slots, form.branches, width, dtype=torch.int64)
    lanes[..., :parts] = _addresses(outputs)[..., None]
    lanes[..., parts : 2 * parts] = _addresses(inputs)[..., None]
    lanes[..., 2 * parts] = _addresses(times[..., None])
    lanes[..., 2 * parts + 1 :] = _addresses(scalars[..., None])
    addresses = torch.zeros(slots, form.externals + form.taps, dtype=torch.int64)
    addresses[:, : form.externals] = _addresses(externals.flatten(2))[:, : form.externals]
    addresses[:, form.externals :] = _addresses(tapes.flatten(2))[:, : form.taps]
    states = torch.zeros(slots, r.STATE, dtype=torch.int32)
    states[:, r.OFFSET] = r.IDLE
    space = Space(
        record,
        full(slots, form.registers, pitch),
        lanes.to(device),
        addresses.to(device),
        (
            torch.zeros(ROWS, record.integers, dtype=torch.int64, device=device),
            full(ROWS, record.floats),
            torch.zeros(ROWS, 8, dtype=torch.float64, device=device),
        ),
        states.to(device),
        (full(slots, channels, 4), full(slots, 2)),
        tiles_of(bounds, BLOCK, channels).to(device),
        dtype,
        aligned,
    )
    return Place(space, elements, outputs, inputs, times, scalars, externals, tapes)


def _addresses(tensor):
    """Address of the last dimension's first element, over the other dimensions."""
    head = tensor.shape[:-1]
    sizes = torch.tensor(tensor.stride()[:-1]) * tensor.element_size()
    grid = torch.stack(torch.meshgrid(*map(torch.arange, head), indexing="ij"), -1)
    return tensor.data_ptr() + (grid * sizes).sum(-1)


def write_row(where, index, row, around):
    """Put one row set at a place of the arena."""
    integers, floats = encode(where.space.record, row, around)
    where.space.rows[0][index] = torch.from_numpy(integers)
    where.space.rows[1][index] = torch.from_numpy(floats)


def enter(where, slot, *, offset, columns, seed=0, image=0, purpose=0, counter=0):
    """Give a slot its state, registers, predictions and page 1 of its externals."""
    form, space = where.space.record.form, where.space
    values = torch.from_numpy(columns).to(space.registers.device)
    count = where.elements
    space.registers[slot, :, :count] = values[: form.registers]
    predictions = values[form.registers : form.guided]
    where.outputs[slot] = predictions.to(where.outputs.dtype)
    for external in range(form.externals):
        where.externals[slot, external, 1, :count] = values[form.external(external)]
    key = np.array([seed % (1 << 32), seed >> 32], np.uint32).view(np.int32)
    state = [offset, counter, int(key[0]), int(key[1]), image, purpose, 0, 0]
    space.states[slot] = torch.tensor(state, dtype=torch.int32)


__all__ = ["POISON", "Place", "Surroundings", "enter", "place", "tiles_of", "write_row"]

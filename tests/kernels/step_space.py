"""A pool's memory for the step kernels, made of columns and rows as the reference takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from denoisert.kernels.step import record as r
from denoisert.kernels.step.encode import encode
from denoisert.kernels.step.space import Space
from denoisert.kernels.step.variants import BLOCK

POISON = 7e33
ROWS, PAGES, PAGE = 12, 4, 1


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
    """A pool of some slots; every tensor that kernels reach by address is kept here.

    Predictions and inputs are (slots, branches, parts, elements): each part has a buffer of its
    own, in which the elements of the other parts stay NaN.
    """

    space: Space
    bounds: tuple[tuple[int, int], ...]
    outputs: torch.Tensor
    inputs: torch.Tensor
    times: torch.Tensor
    scalars: torch.Tensor
    externals: torch.Tensor
    tapes: torch.Tensor

    @property
    def elements(self):
        return self.outputs.shape[-1]

    def registers(self, slot):
        return self.space.registers[slot, :, : self.elements].cpu().numpy()

    def lanes(self, slot):
        """Inputs of a slot's branches, (branches, elements), each part from its own buffer."""
        found = torch.full(self.inputs[slot, :, 0].shape, float("nan"), dtype=torch.float64)
        for part, (first, last) in enumerate(self.bounds):
            found[:, first:last] = self.inputs[slot, :, part, first:last].double().cpu()
        return found.numpy()

    def state(self, slot):
        return self.space.states[slot].tolist()

    def snapshot(self):
        """Everything that a kernel may write, to compare bit for bit."""
        written = (self.space.registers, self.inputs, self.times, self.scalars, self.tapes)
        return [part.cpu().clone().view(torch.uint8) for part in (*written, self.space.states)]


def place(
    form,
    device,
    *,
    slots=1,
    elements=64,
    bounds=None,
    channels=1,
    dtype=torch.float32,
    aligned=False,
):
    """Memory full of poison, with lanes for every branch of every slot."""
    record = r.Record(form)
    bounds = bounds or ((0, elements),)
    elements = bounds[-1][1]
    pitch = -(-elements // 64) * 64
    parts = len(bounds)

    def full(*shape, kind=torch.float32, value=POISON):
        return torch.full(shape, value, dtype=kind, device=device)

    off = 0 if aligned else 1  # then every part lies one element behind 16 bytes
    outputs, inputs = (
        full(slots, form.branches, parts, elements + off, kind=dtype, value=float("nan"))[..., off:]
        for _ in range(2)
    )
    times = full(slots, form.branches)
    scalars = full(slots, form.branches, r.SCALARS)
    externals = full(slots, max(form.externals, 1), PAGES, pitch)
    tapes = full(slots, max(form.taps, 1), PAGES, pitch)
    lanes = _lane_addresses(outputs, inputs, times, scalars)
    states = torch.zeros(slots, r.STATE, dtype=torch.int32)
    states[:, r.OFFSET] = r.IDLE
    space = Space(
        record,
        full(slots, form.registers, pitch),
        lanes.to(device),
        _page_addresses(form, externals, tapes).to(device),
        (
            torch.zeros(ROWS, record.integers, dtype=torch.int64, device=device),
            full(ROWS, record.floats),
            torch.zeros(ROWS, r.RULE_ARGS, dtype=torch.float64, device=device),
        ),
        states.to(device),
        (full(slots, channels, 4), full(slots, 2)),
        tiles_of(bounds, BLOCK, channels).to(device),
        dtype,
        aligned,
    )
    return Place(space, tuple(bounds), outputs, inputs, times, scalars, externals, tapes)


def _lane_addresses(outputs, inputs, times, scalars):
    """Addresses of each branch: predictions and inputs of its parts, time, scalars."""
    columns = [_addresses(tensor) for tensor in (outputs, inputs, times[..., None])]
    columns[2] = columns[2][..., None]
    return torch.cat([*columns, _addresses(scalars[..., None])], -1)


def _page_addresses(form, externals, tapes):
    """Addresses of a slot's externals, then of its tapes, each as pages."""
    kinds = (externals, form.externals), (tapes, form.taps)
    return torch.cat([_addresses(tensor.flatten(2))[:, :count] for tensor, count in kinds], -1)


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
    for part, (first, last) in enumerate(where.bounds):
        predictions = values[form.registers : form.guided, first:last]
        where.outputs[slot, :, part, first:last] = predictions.to(where.outputs.dtype)
    for external in range(form.externals):
        where.externals[slot, external, PAGE, :count] = values[form.external(external)]
    key = np.array([seed % (1 << 32), seed >> 32], np.uint32).view(np.int32)
    state = [offset, counter, int(key[0]), int(key[1]), image, purpose, 0, 0]
    space.states[slot] = torch.tensor(state, dtype=torch.int32)

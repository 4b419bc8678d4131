"""A pool's memory as the step kernels take it, with a table in it and every slot at a row."""

from __future__ import annotations

from typing import NamedTuple

import torch

from bench.gpu.memory import POISON, pitch_of, rows
from bench.gpu.rows import FIRST
from denoisert.kernels.philox import LATENT
from denoisert.kernels.philox.reference import key_words
from denoisert.kernels.step import record as r
from denoisert.kernels.step.space import Space
from denoisert.kernels.step.variants import BLOCK
from denoisert.runtime.devices.torch.rows import Rows

VECTORS = 4
ALIGNED = 16  # elements


class Memory(NamedTuple):
    """A pool's memory, and the buffers that it knows by address alone."""

    space: Space
    buffers: tuple[torch.Tensor, ...]


def memory(
    device: str, elements: int, slots: int, table: Rows, dtype: str, form: r.Form = r.FORMS[0]
) -> Memory:
    """A pool's memory with a table at the head of its arena and every slot at its row FIRST."""
    record, pitch = r.Record(form), pitch_of(elements)
    registers = torch.full((slots, form.registers, pitch), POISON, device=device)
    registers[..., :elements].normal_()
    states = torch.tensor([[0, FIRST, *key_words(7), 0, LATENT, 0, 0]] * slots, dtype=torch.int32)
    arena = tuple(torch.from_numpy(values).to(device) for values in table)
    lanes, buffers = _lanes(device, elements, (slots, form.branches), dtype)
    made = Space(
        record,
        registers,
        lanes,
        torch.zeros(slots, form.externals + form.taps, dtype=torch.int64, device=device),
        arena,
        states.to(device),
        (torch.ones(slots, 1, VECTORS, device=device), torch.ones(slots, 2, device=device)),
        _tiles(elements).to(device),
        getattr(torch, dtype),
        elements % ALIGNED == 0,
    )
    return Memory(made, buffers)


def _lanes(
    device: str, elements: int, lanes: tuple[int, int], dtype: str
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Addresses of predictions, inputs and times, and these buffers."""
    count = lanes[0] * lanes[1]
    outputs, inputs = (rows(count, elements, device, dtype) for _ in range(2))
    times = torch.full((count, 1), POISON, device=device)
    table = torch.zeros(count, r.lane_width(1), dtype=torch.int64)
    for place, buffer in enumerate((outputs, inputs, times)):
        apart = buffer.stride(0) * buffer.element_size()
        table[:, place] = buffer.data_ptr() + apart * torch.arange(count)
    return table.view(*lanes, -1).to(device), (outputs, inputs, times)


def _tiles(elements: int) -> torch.Tensor:
    starts = range(0, elements, BLOCK)
    tiles = [(at, at, min(at + BLOCK, elements), 0, 0, 0, 0, 0) for at in starts]
    return torch.tensor(tiles, dtype=torch.int32)

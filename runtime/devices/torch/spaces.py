"""The memory that the step kernels work in, allocated for a pool and a column space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from denoisert.kernels.step import record as r
from denoisert.kernels.step.form import VECTORS, Form
from denoisert.kernels.step.record import RULE_ARGS, Record
from denoisert.kernels.step.space import Space
from denoisert.kernels.step.variants import BLOCK
from denoisert.runtime.devices.torch.lanes import state_dtype
from denoisert.runtime.devices.torch.stage import Stage
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.table import SamplerTable

PITCH = 64  # registers begin on 256 bytes
WIDE = 16  # elements that lie inside or outside a part together, where it is aligned


def pitch_of(layout: StateLayout) -> int:
    """Floats from one register to the next."""
    return -(-layout.elements // PITCH) * PITCH


def wider(form: Form, table: SamplerTable, branches: int) -> Form:
    """The smallest space with kernels that holds another one and a table.

    Args:
        form: what has to fit already.
        table: what has to fit, too.
        branches: lanes that a slot must have at least.

    Raises:
        InvalidTable: no space has as many branches.
    """
    wanted = table.form._replace(branches=max(table.form.branches, branches))
    has_operations = bool(table.operation.any()) or any(table.products)
    for space in r.FORMS:
        holds = all(have >= need for have, need in zip(space, map(max, form, wanted), strict=True))
        if holds and (Record(space).has_operations or not has_operations):
            return space
    raise InvalidTable(f"no kernel has room for {wanted}; the largest space is {r.FORMS[-1]}.")


def allocate(
    layout: StateLayout,
    form: Form,
    slots: int,
    rows: int,
    *,
    denoisers: Sequence[Denoiser],
    stage: Stage,
) -> Space:
    """Memory of a column space, every slot idle.

    Args:
        layout: shape of the state.
        form: one of `FORMS`.
        slots: capacity of the pool.
        rows: capacity of its arena.
        denoisers: the engines of the pool.
        stage: of the device.
    """
    record, parts = Record(form), len(layout.parts)
    states = stage.zeros(slots, r.STATE, dtype=torch.int32)
    states[:, r.OFFSET] = r.IDLE
    return Space(
        record,
        stage.zeros(slots, form.registers, pitch_of(layout)),
        stage.zeros(slots, form.branches, r.lane_width(parts), dtype=torch.int64),
        stage.zeros(slots, form.externals + form.taps, dtype=torch.int64),
        (
            stage.zeros(rows, record.integers, dtype=torch.int64),
            stage.zeros(rows, record.floats),
            stage.zeros(rows, RULE_ARGS, dtype=torch.float64),
        ),
        states,
        (stage.zeros(slots, 1, VECTORS), stage.zeros(slots, 2)),
        stage.upload(_tiles(layout)),
        state_dtype(denoisers),
        _is_aligned(layout, denoisers),
    )


def space_bytes(layout: StateLayout, form: Form, slots: int, rows: int) -> int:
    """Memory of `allocate` and of the passes before the update, before they exist."""
    record = Record(form)
    latents = slots * (form.registers + VECTORS + 1)
    arena = rows * (8 * record.integers + 4 * record.floats + 8 * RULE_ARGS)
    return latents * pitch_of(layout) * 4 + arena


def _is_aligned(layout: StateLayout, denoisers: Sequence[Denoiser]) -> bool:
    """Whether 16 elements of a part lie together in every buffer that holds it."""
    bounds = [bound for each in layout.ranges for bound in each]
    for denoiser in denoisers:
        for piece in (piece for port in denoiser.network.ports for piece in port):
            stride = layout.parts[piece.part].channel_stride
            output = next(p for p in denoiser.engine.outputs if p.name == piece.output)
            sizes = [int(size) for size in output.dims[1:]]
            bounds += [piece.first * stride, int(np.prod(sizes))]
    return all(bound % WIDE == 0 for bound in bounds)


def _tiles(layout: StateLayout) -> NDArray[np.int32]:
    """Every part in tiles; see `_cut`."""
    ranges = enumerate(layout.ranges)
    return _cut((part, 0, first, last) for part, (first, last) in ranges)


def channel_tiles(layout: StateLayout) -> NDArray[np.int32]:
    """Every channel in tiles that know its number in the state, of channels of one size."""
    stride = layout.parts[0].channel_stride
    return _cut(
        (part, channel, channel * stride, (channel + 1) * stride)
        for part, (first, last) in enumerate(layout.ranges)
        for channel in range(first // stride, last // stride)
    )


def has_wide_channels(layout: StateLayout) -> bool:
    """Whether tiles of channels begin and end where aligned ones may."""
    return layout.parts[0].channel_stride % WIDE == 0


def _cut(spans: Iterable[tuple[int, int, int, int]]) -> NDArray[np.int32]:
    """Spans in tiles that begin at multiples of BLOCK: a group of noise never straddles.

    Args:
        spans: part, channel, first element, last + 1.
    """
    tiles = [
        (start, max(start, first), min(start + BLOCK, last), part, channel, 0, 0, 0)
        for part, channel, first, last in spans
        for start in range(first // BLOCK * BLOCK, last, BLOCK)
    ]
    return np.array(tiles, np.int32)

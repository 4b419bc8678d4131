"""A table's rows as the device reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.rule import VECTORS
from denoisert.kernels.step.encode import Surroundings, encode
from denoisert.kernels.step.form import DRAWS
from denoisert.kernels.step.record import Record
from denoisert.runtime.devices.instructions import Instruction
from denoisert.runtime.sampling.table import COUNTER_NOISE, SamplerTable


class Rows(NamedTuple):
    """The rows of one table.

    Args:
        integers: (rows, record.integers) int64.
        floats: (rows, record.floats) float32.
        rule_args: (rows, 8) float64.
    """

    integers: NDArray[np.int64]
    floats: NDArray[np.float32]
    rule_args: NDArray[np.float64]


def encode_rows(table: SamplerTable, instructions: Sequence[Instruction], record: Record) -> Rows:
    """Every row of a table in a pool's column space.

    Args:
        table: the sampler.
        instructions: its rows, worked out for the pool.
        record: of the pool's column space.
    """
    pairs = []
    for index, instruction in enumerate(instructions):
        following = instructions[index + 1] if index < table.stages else None
        around = _surroundings(table, index, instruction, following)
        pairs.append(encode(record, instruction.row, around))
    return Rows(
        np.stack([integers for integers, _ in pairs]),
        np.stack([floats for _, floats in pairs]),
        np.array([instruction.rule_args for instruction in instructions], np.float64),
    )


def _surroundings(
    table: SamplerTable, index: int, instruction: Instruction, following: Instruction | None
) -> Surroundings:
    return Surroundings(
        sources=tuple(register for register, _ in instruction.sources),
        scales=tuple(float(scale) for _, scale in instruction.sources),
        times=tuple(instruction.times.tolist()),
        scalars=tuple(map(tuple, instruction.scalars.tolist())),
        draw_base=table.draw_base[index],
        pages=tuple(table.external_index[index].tolist()),
        recorded=tuple(_recorded(table, index, q) for q in range(DRAWS)),
        taps=instruction.tapes,
        rule=(instruction.rule, VECTORS[instruction.rule]),
        pending=instruction.pending,
        needed=tuple(register for register, _ in following.sources) if following else (),
        is_followed=following is not None,
    )


def _recorded(table: SamplerTable, index: int, q: int) -> tuple[int, int]:
    """External and page of a draw that comes from outside."""
    source = table.noise_source[q]
    if source == COUNTER_NOISE:
        return -1, -1
    return source, int(table.external_index[index, source])

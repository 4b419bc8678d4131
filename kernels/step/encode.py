"""From a row set to the integers and floats that the device reads; see `record`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step import record as r
from denoisert.kernels.step.form import ARGUMENTS, DRAWS
from denoisert.kernels.step.row import Row, Terms

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


class Surroundings(NamedTuple):
    """What a row set needs besides its terms.

    Args:
        sources: physical register of each lane's network input.
        scales: its factor.
        times: model time of each lane.
        scalars: (lanes, 4) further numbers.
        draw_base: draw index of xi_0.
        pages: page of each external, -1 where it is not read.
        recorded: (external, page) of each draw, (-1, -1) for counter noise.
        taps: (tape, page) of each tap that the row computes.
        rule: guidance rule and its number of vectors, (0, 0) for none.
        pending: physical register of R_0 after the row.
        needed: physical registers that the next row's inputs come from; () in the last row.
        is_followed: whether the table has a next row.
    """

    sources: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    times: tuple[float, ...] = ()
    scalars: tuple[tuple[float, ...], ...] = ()
    draw_base: int = 0
    pages: tuple[int, ...] = ()
    recorded: tuple[tuple[int, int], ...] = ((-1, -1),) * DRAWS
    taps: tuple[tuple[int, int], ...] = ()
    rule: tuple[int, int] = (0, 0)
    pending: int = 0
    needed: tuple[int, ...] = ()
    is_followed: bool = False


def encode(record: r.Record, row: Row, around: Surroundings) -> tuple[Integers, Floats]:
    """One row set as the device reads it.

    Args:
        record: of the pool's column space, in whose physical columns the row is.
        row: its terms.
        around: everything else.

    Returns:
        (record.integers,) int64 and (record.floats,) float32.

    Raises:
        ValueError: a row of another form, or operations and products in a space without them.
    """
    if row.form != record.form:
        raise ValueError(f"a row of {row.form} in a space of {record.form}; pack it for the space.")
    if not record.has_operations and (any(row.arguments) or row.products):
        raise ValueError(f"operations and products need externals in the space, {record.form}.")
    integers, floats = np.zeros(record.integers, np.int64), np.zeros(record.floats, np.float32)
    matrix = _matrix(record, row, around)
    floats[: matrix.size] = matrix.reshape(-1)
    integers[record.masks : record.products] = _masks(record, row, matrix)
    _head(integers, row, around)
    _operations(record, row, integers, floats)
    _asks(record, around, integers, floats)
    integers[record.pages : record.tap_pages] = -1
    integers[record.pages : record.pages + len(around.pages)] = around.pages
    integers[record.recorded : record.masks] = np.ravel(around.recorded)
    for tape, page in around.taps:
        integers[record.tap_pages + tape] = page
    return integers, floats


def _matrix(record: r.Record, row: Row, around: Surroundings) -> Floats:
    """Every output row over every column."""
    form = record.form
    matrix = np.zeros((record.outputs, form.columns), np.float32)

    def fill(rows: list[int], terms: Terms | None) -> None:
        if terms is not None:
            matrix[np.ix_(np.array(rows), terms.columns)] = terms.coefficients

    if row.vectors is not None:
        fill([form.vector_row(m) for m in range(len(row.vectors.coefficients))], row.vectors)
    for order, terms in enumerate(row.arguments):
        fill([form.argument_row(order)], terms)
    fill([form.register_row(target) for target in row.targets], row.registers)
    fill([form.tap_row(tape) for tape, _ in around.taps], row.taps)
    for register in {*around.needed, around.pending} - set(row.targets):
        matrix[form.register_row(register), register] = 1.0  # read as it is, stored nowhere
    matrix[-1, form.guided] = 1.0
    return matrix


def _masks(record: r.Record, row: Row, matrix: Floats) -> Integers:
    """Columns that each output row reads, those of G's vectors in place of G itself."""
    bits = np.int64(1) << np.arange(record.form.columns, dtype=np.int64)
    used = (matrix != 0) @ bits
    guided = int((matrix[: record.form.argument_row(0)].any(axis=0)) @ bits)
    reads_guided = matrix[:, record.form.guided] != 0
    reads_guided[-1] = any(record.form.guided in product[2:4] for product in row.products)
    masks: Integers = np.where(reads_guided, used | guided, used)
    masks[-1] = guided if reads_guided[-1] else 0
    return masks


def _head(integers: Integers, row: Row, around: Surroundings) -> None:
    integers[r.DRAW_BASE] = around.draw_base
    integers[r.PRODUCTS] = len(row.products)
    integers[r.RULE], integers[r.RULE_VECTORS] = around.rule
    integers[r.PENDING] = around.pending
    integers[r.STORED] = sum(1 << target for target in row.targets)
    integers[r.TAPPED] = sum(1 << tape for tape, _ in around.taps)
    integers[r.ASKS] = len(around.sources)
    integers[r.FOLLOWED] = around.is_followed


def _operations(record: r.Record, row: Row, integers: Integers, floats: Floats) -> None:
    for order in range(ARGUMENTS):
        code, a, b = row.operations[order]
        integers[r.OPERATIONS + order] = int(code)
        at = record.operation_args + 2 * order
        floats[at : at + 2] = a, b
    for index, product in enumerate(row.products):
        at = record.products + r.PRODUCT * index
        target = row.targets[product.register]
        integers[at : at + r.PRODUCT] = target, *product[2:]
        floats[record.gains + index] = product.gain


def _asks(record: r.Record, around: Surroundings, integers: Integers, floats: Floats) -> None:
    count = len(around.sources)
    integers[record.sources : record.sources + count] = around.sources
    floats[record.scales : record.scales + count] = around.scales
    floats[record.times : record.times + count] = around.times
    scalars = np.zeros((count, r.SCALARS), np.float32)
    if count:
        scalars[:] = around.scalars
    floats[record.scalars : record.scalars + scalars.size] = scalars.reshape(-1)

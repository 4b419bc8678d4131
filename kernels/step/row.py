"""One row set of a table in the form the kernels execute: only the terms that exist.

An absent term (coefficient 0) has no entry, so an unused register, a skipped branch or a missing
external is
never read: 0 times NaN does not happen.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import ARGUMENTS, Form


class Operation(IntEnum):
    """Pointwise operation D = op(U; a, b)."""

    NONE = 0
    CLIP = 1  # min(max(U, a), b)
    DYNAMIC_THRESHOLD = 2  # clip(U, -m, m) / m with m = min(max(quantile_a(|U|), 1), b)
    REFLECT = 3  # fold U back into [a, b] at its ends
    EXP_HALF = 4  # exp(U / 2)


class Terms(NamedTuple):
    """`rows` linear combinations over the same few columns.

    Args:
        columns: (m,) those that are read.
        coefficients: (rows, m), float32 or float64.
    """

    columns: NDArray[np.intp]
    coefficients: NDArray[np.floating]


class Product(NamedTuple):
    """R'_register += gain * map * source on elements first..last-1.

    Args:
        register: position among the registers that the row writes.
        gain: factor.
        column: column of the map, or -1 for 1 on the range.
        source: column of the source.
        first: first element of the range.
        last: last element + 1.
    """

    register: int
    gain: float
    column: int
    source: int
    first: int
    last: int


class Row(NamedTuple):
    """One row set: what to combine, in the order of evaluation, and where the results go."""

    form: Form
    vectors: Terms | None
    arguments: tuple[Terms | None, ...]
    operations: tuple[tuple[Operation, float, float], ...]
    registers: Terms | None
    targets: tuple[int, ...]
    products: tuple[Product, ...]
    taps: Terms | None


def terms(matrix: NDArray[np.floating]) -> Terms | None:
    """The columns of `matrix` (rows, columns) that any row reads, or None when there are none."""
    index = np.flatnonzero(matrix.any(axis=0))
    if index.size == 0:
        return None
    return Terms(index, np.ascontiguousarray(matrix[:, index]))


def pack(
    matrix: NDArray[np.floating],
    form: Form,
    *,
    operations: tuple[tuple[Operation, float, float], ...],
    registers: tuple[int, ...],
    targets: tuple[int, ...],
    products: tuple[Product, ...] = (),
    taps: tuple[int, ...] = (),
) -> Row:
    """Turn one dense row set into a `Row`.

    Args:
        matrix: (form.rows, form.columns), already in physical columns.
        form: the column space.
        operations: (operation, a, b) for U_0 and U_1.
        registers: the R' rows that must be computed; the others are renames or dead.
        targets: the physical register that each of them is written to.
        products: with `register` a position in `registers`.
        taps: the tap rows that must be computed.

    Returns:
        The row set without its absent terms.
    """
    head = matrix[: form.argument_row(0)]
    used = np.flatnonzero(head.any(axis=1))
    arguments = tuple(
        terms(matrix[form.argument_row(o)][None]) if operations[o][0] else None
        for o in range(ARGUMENTS)
    )
    return Row(
        form=form,
        vectors=terms(head[: used[-1] + 1]) if used.size else None,
        arguments=arguments,
        operations=operations,
        registers=terms(matrix[[form.register_row(i) for i in registers]]),
        targets=targets,
        products=products,
        taps=terms(matrix[[form.tap_row(i) for i in taps]]) if taps else None,
    )

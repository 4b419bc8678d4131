"""Which registers live, and where: shifting a history renames registers instead of copying them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import Form
from denoisert.runtime.sampling.table import TableProduct

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Products = tuple[tuple[TableProduct, ...], ...]


def liveness(matrix: Floats, products: Products, form: Form) -> Ints:
    """Registers that are still read after each row.

    Args:
        matrix: (S + 1, rows, columns).
        products: S + 1 tuples.
        form: the column space.

    Returns:
        (S + 1,) bit masks; after the last row only R_0 lives.
    """
    live = np.zeros(len(matrix), np.int64)
    live[-1] = needed = 1
    for row in range(len(matrix) - 1, 0, -1):
        needed = _reads(matrix[row], products[row], needed, form)
        live[row - 1] = needed
    return live


def _reads(matrix: Floats, products: tuple[TableProduct, ...], after: int, form: Form) -> int:
    """Registers that one row set reads for those in `after`; R_0 always, the network's input."""
    wanted = [form.register_row(i) for i in range(form.registers) if after >> i & 1]
    others = [*range(form.register_row(0)), *range(form.tap_row(0), form.rows)]
    used = matrix[[*wanted, *others], : form.registers].any(axis=0)
    mask = 1 | sum(1 << int(i) for i in np.flatnonzero(used))
    for product in products:
        if after >> product.register & 1 and product.source < form.registers:
            mask |= 1 << product.source
    return mask


def placement(matrix: Floats, products: Products, live: Ints, form: Form) -> Ints:
    """The physical register of each logical one after each row.

    A live register that merely repeats an old one keeps its place; the others take the free places.

    Args:
        matrix: (S + 1, rows, columns).
        products: S + 1 tuples.
        live: masks of `liveness`.
        form: the column space.

    Returns:
        (S + 1, K), each row a permutation.
    """
    places = np.zeros((len(matrix), form.registers), np.int64)
    before = np.arange(form.registers)
    for row in range(len(matrix)):
        touched = {product.register for product in products[row]}
        kept = kept_registers(matrix[row], touched, int(live[row]), form)
        taken = {logical: int(before[source]) for logical, source in kept.items()}
        free = [place for place in range(form.registers) if place not in taken.values()]
        before = np.array([taken[i] if i in taken else free.pop(0) for i in range(form.registers)])
        places[row] = before
    return places


def kept_registers(matrix: Floats, touched: set[int], live: int, form: Form) -> dict[int, int]:
    """Live registers whose new value is exactly one old register, each source used once.

    Args:
        matrix: (rows, columns) of one row set.
        touched: registers that a product adds to.
        live: mask of the registers read later.
        form: the column space.

    Returns:
        New register -> old register.
    """
    kept: dict[int, int] = {}
    for register in range(form.registers):
        values = matrix[form.register_row(register)]
        sources = np.flatnonzero(values)
        is_copy = sources.size == 1 and sources[0] < form.registers and values[sources[0]] == 1.0
        if is_copy and live >> register & 1 and register not in touched:
            source = int(sources[0])
            if source not in kept.values():
                kept[register] = source
    return kept

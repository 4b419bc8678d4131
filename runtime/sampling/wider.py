"""Rows with room for more: further registers and externals, which nobody reads yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denoisert.runtime.sampling.basis import Basis
from denoisert.runtime.sampling.rows import Rows


def wider(rows: Rows, registers: int, externals: tuple[str, ...]) -> Rows:
    """The same rows over more columns; new registers stay 0.

    Args:
        rows: what a solver says.
        registers: how many come behind its own.
        externals: names that come behind its own.

    Returns:
        Rows of their own, free to be changed.

    Raises:
        InvalidTable: more than a table holds.
    """
    old = rows.basis
    basis = Basis(old.count + registers, (*old.externals, *externals))
    places = [
        *range(old.count),
        *range(basis.count, basis.width - 1 - len(externals)),
        basis.width - 1,
    ]
    spread = np.eye(basis.width)[places]
    count, _, _ = rows.registers.shape
    block = np.zeros((count, basis.count, basis.width))
    block[:, : old.count] = rows.registers @ spread
    pages = np.full((count, len(basis.externals)), -1, np.int64)
    pages[:, : len(old.externals)] = rows.external_index
    return replace(
        rows,
        basis=basis,
        registers=block,
        taps=rows.taps @ spread,
        external_index=pages,
        products=tuple(
            tuple(term._replace(source=term.source @ spread) for term in terms)
            for terms in rows.products
        ),
        rules=tuple(
            rule and rule._replace(vectors=tuple(vector @ spread for vector in rule.vectors))
            for rule in rows.rules
        ),
        operations=tuple(
            tuple(each._replace(argument=each.argument @ spread) for each in applied)
            for applied in rows.operations
        ),
    )

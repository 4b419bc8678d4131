"""Butcher tables of explicit Runge-Kutta methods: their order, and the least memory they run in.

A table is written without its zeros: row i - 1 says where stage i asks, the last row is the step.

    y_i = y + h sum_j a_ij k_j,  j < i        y_s = y + h sum_j b_j k_j        c_i = sum_j a_ij
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[np.float64]
Table = tuple[tuple[float, ...], ...]
Tree = tuple["Tree", ...]

HIGHEST_ORDER = 6
MOST_STAGES = 12
ROUNDING = 1e-9

EULER: Table = ((1.0,),)


class Scheme(Enum):
    """Tables by name, each of the order that `order` finds.

    HEUN: the trapezoid with Euler's end. MIDPOINT. RALSTON: least error of order 2. HEUN3, KUTTA3,
    RALSTON3: order 3. SSPRK3: order 3, strong stability preserving. RK4: the classical one of
    order 4. THREE_EIGHTHS: order 4, torchdiffeq's "rk4". DOPRI5: order 5 in 6 stages, at fixed
    steps.

    Source: Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, chapter II;
    SSPRK3: Shu and Osher 1988; RALSTON, RALSTON3: Ralston 1962; DOPRI5: Dormand and Prince 1980.
    """

    HEUN = "heun"
    MIDPOINT = "midpoint"
    RALSTON = "ralston"
    HEUN3 = "heun3"
    KUTTA3 = "kutta3"
    RALSTON3 = "ralston3"
    SSPRK3 = "ssprk3"
    RK4 = "rk4"
    THREE_EIGHTHS = "three_eighths"
    DOPRI5 = "dopri5"

    def __repr__(self) -> str:
        return f"Scheme.{self.name}"

    @property
    def table(self) -> Table:
        """Its rows."""
        return _TABLES[self.value]


_TABLES: dict[str, Table] = {
    "heun": ((1.0,), (1 / 2, 1 / 2)),
    "midpoint": ((1 / 2,), (0.0, 1.0)),
    "ralston": ((2 / 3,), (1 / 4, 3 / 4)),
    "heun3": ((1 / 3,), (0.0, 2 / 3), (1 / 4, 0.0, 3 / 4)),
    "kutta3": ((1 / 2,), (-1.0, 2.0), (1 / 6, 2 / 3, 1 / 6)),
    "ralston3": ((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    "ssprk3": ((1.0,), (1 / 4, 1 / 4), (1 / 6, 1 / 6, 2 / 3)),
    "rk4": ((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    "three_eighths": (
        (1 / 3,),
        (-1 / 3, 1.0),
        (1.0, -1.0, 1.0),
        (1 / 8, 3 / 8, 3 / 8, 1 / 8),
    ),
    "dopri5": (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
}


def rows_of(scheme: Scheme | Table) -> Table:
    """The table of a scheme, or the table itself."""
    return scheme.table if isinstance(scheme, Scheme) else scheme


def check_table(scheme: Scheme | Table) -> None:
    """Refuse what is no explicit table within its step.

    Raises:
        InvalidInput: row i without i + 1 finite numbers, a stage outside the step, weights that do
            not sum to 1, or more than 12 stages.
    """
    table = rows_of(scheme)
    lengths = [len(row) for row in table]
    if not table or lengths != list(range(1, len(table) + 1)) or len(table) > MOST_STAGES:
        raise InvalidInput(
            f"a table of rows of {lengths} numbers; write 1 to {MOST_STAGES} rows of 1, 2, 3, ... "
            "numbers, the last one the weights, as ((0.5,), (0.0, 1.0)) for the midpoint."
        )
    places = nodes(table)
    if not all(-ROUNDING <= place <= 1.0 + ROUNDING for place in places):
        raise InvalidInput(f"stages at {places} of a step; they must lie within 0 to 1.")
    if not math.isclose(math.fsum(table[-1]), 1.0, abs_tol=ROUNDING):
        raise InvalidInput(f"weights {table[-1]} sum to {math.fsum(table[-1]):g}; they must to 1.")


def nodes(table: Table) -> list[float]:
    """c_i of every stage: where it asks, as a share of the step."""
    return [0.0, *(math.fsum(row) for row in table[:-1])]


def order(table: Table) -> int:
    """The convergence order: up to it, b . phi(tree) = 1 / gamma(tree) holds for every rooted tree.

    Args:
        table: of at least order 1.

    Returns:
        1 to 6.

    Source: Hairer, Norsett and Wanner 1993, theorem II.2.13.
    """
    stages = len(table)
    matrix = np.zeros((stages, stages))
    for row, values in enumerate(table[:-1], 1):
        matrix[row, : len(values)] = values
    weights = np.array(table[-1])
    for size in range(2, HIGHEST_ORDER + 1):
        for tree in trees(size):
            share = 1.0 / _density(tree)
            if abs(weights @ _elementary(tree, matrix) - share) > ROUNDING:
                return size - 1
    return HIGHEST_ORDER


@cache
def trees(size: int) -> tuple[Tree, ...]:
    """Rooted trees of `size` vertices, each the sorted tuple of what hangs from its root."""
    if size == 1:
        return ((),)
    return tuple(sorted({grown for tree in trees(size - 1) for grown in _grown(tree)}))


def _grown(tree: Tree) -> Iterator[Tree]:
    """The tree with one more leaf, at every vertex."""
    yield tuple(sorted((*tree, ())))
    for index, child in enumerate(tree):
        for grown in _grown(child):
            yield tuple(sorted((*tree[:index], grown, *tree[index + 1 :])))


def _size(tree: Tree) -> int:
    return 1 + sum(map(_size, tree))


def _density(tree: Tree) -> int:
    return _size(tree) * math.prod(map(_density, tree))


def _elementary(tree: Tree, matrix: Array) -> Array:
    phi = np.ones(len(matrix))
    for child in tree:
        phi = phi * (matrix @ _elementary(child, matrix))
    return phi


@cache
def transitions(table: Table, kept: int) -> tuple[Array, ...]:
    """How few vectors carry a step from stage to stage.

    After stage i the future needs the parts so far of y_(i+1), y_(i+2), .. and of y_s, and nothing
    else: a basis of their span is all that is stored, y_(i+1) first because it is asked next.

    Args:
        table: of s stages.
        kept: 1 if h k_0 is needed behind the step, as by a multistep method that follows; else 0.

    Returns:
        T_i of every stage, with new vectors = T_i [old vectors, h k_i]; before stage 0 there is
        y alone, behind the last one y_s, then h k_0 if it is kept.
    """
    stages = len(table)
    wanted = np.zeros((stages + kept, stages + 1))
    wanted[:stages, 0] = 1.0
    for row, values in enumerate(table):
        wanted[row, 1 : len(values) + 1] = values
    wanted[stages:, 1] = 1.0
    held, found = np.eye(1, stages + 1), []
    for stage in range(stages):
        known = wanted[stage:].copy()
        known[:, stage + 2 :] = 0.0
        basis = known if stage == stages - 1 else _independent(known)
        fresh = np.eye(1, stages + 1, stage + 1)
        found.append(np.array([_expressed(row, held, fresh[0]) for row in basis]))
        held = basis
    return tuple(found)


def memory(table: Table, kept: int) -> int:
    """Vectors that `transitions` stores at most."""
    return max(len(matrix) for matrix in transitions(table, kept))


def _independent(rows: Array) -> Array:
    """A basis of rows: the first one, then always the one furthest from the span so far."""
    chosen = rows[:1]
    while True:
        inside = np.linalg.lstsq(chosen.T, rows.T, rcond=None)[0].T @ chosen
        distance = np.linalg.norm(rows - inside, axis=1)
        if distance.max() < ROUNDING:
            return chosen
        chosen = np.vstack([chosen, rows[distance.argmax()]])


def _expressed(row: Array, held: Array, fresh: Array) -> Array:
    """Coefficients of `row` over the held vectors and the fresh one; exact where one is held."""
    gain = float(row @ fresh)
    past = row - gain * fresh
    same = np.all(held == past, axis=1)
    if same.any():
        return np.append(np.eye(len(held))[same.argmax()], gain)
    return np.append(np.linalg.lstsq(held.T, past, rcond=None)[0], gain)

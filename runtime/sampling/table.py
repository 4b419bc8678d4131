"""The sampler table: any fixed-step sampler as coefficients over raw network outputs.

Row set 0 is the prologue (no network), row set s + 1 is stage s; every array below has S + 1
entries along its
first axis, so a slot's program counter simply indexes it. The columns and rows of `matrix` are
those of
`denoisert.kernels.step.form`; maps of products stay symbolic until a layout is known.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import ARGUMENTS, Form
from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.basis import (
    MAX_EXTERNALS,
    MAX_PRODUCTS,
    MAX_REGISTERS,
    MAX_TAPS,
    EstimateMap,
    ExternalMap,
    Map,
)
from denoisert.runtime.sampling.lanes import Lanes, shared

MAX_BRANCHES = 16
SCALARS = 4
COUNTER_NOISE = -1
FLOAT32_ROUNDING = 6e-8

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class TableProduct(NamedTuple):
    """R'_register += gain * map * Z_source, with `source` a column of the table."""

    register: int
    gain: float
    map: Map
    source: int


@dataclass(frozen=True, eq=False, repr=False)
class SamplerTable:
    """Immutable coefficients of one sampler, float64 on the host.

    Args:
        form: K, B, E, T of the column space.
        matrix: (S + 1, rows, columns).
        condition: (S + 1, B) condition of each branch, -1 = skipped.
        engine: (S + 1, B) index into the pool's engines.
        port: (S + 1, B) index into that engine's output ports.
        model_time: (S + 1, B) what the network is told.
        input_scale: (S + 1, B) network input = input_scale * R_input_register.
        input_register: (S + 1, B).
        scalars: (S + 1, B, 4) further scalars the network is told.
        rule: (S + 1,) guidance rule, 0 = none.
        rule_args: (S + 1, 8).
        operation: (S + 1, 2) `Operation` of D_0 and D_1.
        operation_args: (S + 1, 2, 2).
        products: S + 1 tuples of products.
        tap_index: (S + 1, T) page of each tape, -1 = not written.
        externals: names of X_e.
        external_index: (S + 1, E) page of each external, -1 = not read.
        noise_source: (2,) -1 = counter noise, e = xi_q is read from external e.
        draws: (S + 1,) draws consumed by each row.
        rename: (S + 1, K) physical register that holds each logical one after the row.
        alpha: (S + 1,) of R_0 when the stage asks the network; NaN for the prologue.
        sigma: (S + 1,) likewise.
        live: (S + 1,) bit i set while register i is read again after the row.
        steps: (S + 1,) whole steps of the grid that are done after the row. A label: tables that
            differ in it alone compute the same and share a fingerprint.
    """

    form: Form
    matrix: Floats
    condition: Ints
    engine: Ints
    port: Ints
    model_time: Floats
    input_scale: Floats
    input_register: Ints
    scalars: Floats
    rule: Ints
    rule_args: Floats
    operation: Ints
    operation_args: Floats
    products: tuple[tuple[TableProduct, ...], ...]
    tap_index: Ints
    externals: tuple[str, ...]
    external_index: Ints
    noise_source: tuple[int, int]
    draws: Ints
    rename: Ints
    alpha: Floats
    sigma: Floats
    live: Ints
    steps: Ints = field(compare=False)

    def __post_init__(self) -> None:
        _check_limits(self)
        _check_coefficients(self)
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"SamplerTable(stages={self.stages}, registers={self.form.registers}, "
            f"branches={self.form.branches}, nfe={self.nfe})"
        )

    @property
    def stages(self) -> int:
        """S, network evaluations of the table counted once for all branches."""
        return len(self.matrix) - 1

    @cached_property
    def lanes(self) -> Lanes:
        """Branches of every row by evaluation: those that differ in nothing but port share one."""
        told = (self.condition, self.engine, self.model_time, self.input_scale, self.input_register)
        return shared(self.condition >= 0, np.dstack([*told, self.scalars]))

    @cached_property
    def nfe(self) -> int:
        """Network evaluations of one picture; branches that share one are counted once."""
        return sum(map(len, self.lanes))

    @cached_property
    def draw_base(self) -> tuple[int, ...]:
        """Draw index of xi_0 in every row: the draws of all earlier rows, prologue first."""
        return (0, *np.cumsum(self.draws)[:-1].tolist())

    @cached_property
    def tape_pages(self) -> tuple[int, ...]:
        """Pages of each tape."""
        return tuple((self.tap_index.max(axis=0, initial=-1) + 1).tolist())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every field but labels: equal tables are equal samplers."""
        digest = hashlib.sha256()
        for name in (each.name for each in fields(self) if each.compare):
            value = getattr(self, name)
            digest.update(
                value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
        return digest.hexdigest()

    @cached_property
    def amplification(self) -> float:
        """How much rounding in one row can grow by the end, network outputs held constant.

        The maximum over rows s of (largest absolute row sum of the map from the registers after s
        to the final
        R_0) x (largest sum of |coefficients| in row s). Maps of products are taken as 0 everywhere,
        then as 1
        everywhere, and the worse counts.
        """
        return max(self._growth(0.0), self._growth(1.0))

    def _growth(self, maps: float) -> float:
        count = self.form.registers
        onward = np.zeros((1, count))
        onward[0, 0] = 1.0
        worst = 0.0
        for row in range(self.stages, -1, -1):
            sizes = np.abs(self.resolved(row, 0.0)).sum(axis=1)
            for product in self.products[row]:
                sizes[product.register] += abs(product.gain)
            worst = max(worst, float(np.abs(onward).sum() * sizes.max()))
            onward = onward @ self.resolved(row, maps)[:, :count]
        return worst

    def resolved(self, row: int, maps: float = 1.0) -> Floats:
        """Register rows (K, columns) of one row set, D_0 and D_1 replaced by their arguments.

        Args:
            row: index of the row set.
            maps: value taken for the map of every product.
        """
        form = self.form
        registers = self.matrix[
            row, form.register_row(0) : form.register_row(form.registers)
        ].copy()
        for product in self.products[row]:
            registers[product.register, product.source] += product.gain * maps
        for index in reversed(range(ARGUMENTS)):
            column = form.estimate(index)
            registers += np.outer(registers[:, column], self.matrix[row, form.argument_row(index)])
            registers[:, column] = 0.0
        return registers


def _check_limits(table: SamplerTable) -> None:
    form = table.form
    sizes = {
        "registers": (form.registers, MAX_REGISTERS),
        "branches": (form.branches, MAX_BRANCHES),
        "externals": (form.externals, MAX_EXTERNALS),
        "taps": (form.taps, MAX_TAPS),
        "products in a row": (max(map(len, table.products), default=0), MAX_PRODUCTS),
        "draws in a row": (int(table.draws.max(initial=0)), 2),
    }
    for name, (found, limit) in sizes.items():
        if found > limit:
            raise InvalidTable(f"{found} {name}; a table holds at most {limit}.")
    if table.matrix.shape[1:] != (form.rows, form.columns):
        raise InvalidTable(
            f"matrix of shape {table.matrix.shape}, the form asks for (S + 1, {form.rows}, "
            f"{form.columns})."
        )
    if (table.condition[0] >= 0).any():
        raise InvalidTable("the prologue cannot evaluate a network.")


def _check_coefficients(table: SamplerTable) -> None:
    form, matrix = table.form, table.matrix
    if not np.isfinite(matrix).all():
        row = int(np.argwhere(~np.isfinite(matrix))[0][0])
        raise InvalidTable(f"row {row} has a coefficient that is not finite.")
    missing = _reads(table) & ~_present(table)
    if missing.any():
        row, column = (int(index) for index in np.argwhere(missing)[0])
        raise InvalidTable(f"row {row} reads {_name(form, column)}, which does not exist there.")
    later = np.zeros((form.register_row(0), form.columns), bool)
    later[: form.argument_row(0), form.guided] = True
    later[: form.argument_row(1), form.estimate(0)] = True
    later[:, form.estimate(1)] = True
    early = matrix[:, : form.register_row(0)].astype(bool) & later
    if early.any():
        row, _, column = (int(index) for index in np.argwhere(early)[0])
        raise InvalidTable(f"row {row} reads {_name(form, column)} before it is computed.")


def _reads(table: SamplerTable) -> NDArray[np.bool_]:
    """Which columns each row set reads, (S + 1, columns)."""
    reads: NDArray[np.bool_] = np.any(table.matrix, axis=1)
    for row, products in enumerate(table.products):
        for product in products:
            reads[row, product.source] = True
            if isinstance(product.map, ExternalMap):
                reads[row, table.form.external(product.map.position)] = True
            elif isinstance(product.map, EstimateMap):
                reads[row, table.form.estimate(product.map.position)] = True
    return reads


def _present(table: SamplerTable) -> NDArray[np.bool_]:
    """Which columns hold a value while each row set runs, (S + 1, columns)."""
    form = table.form
    present = np.ones((table.stages + 1, form.columns), bool)
    present[0, : form.registers] = False
    present[:, form.branch(0) : form.guided] = table.condition >= 0
    present[:, form.guided] = table.rule > 0
    present[:, form.estimate(0) : form.draw(0)] = table.operation != Operation.NONE
    present[:, form.external(0) : form.one] = table.external_index >= 0
    for draw, source in enumerate(table.noise_source):
        is_counter = source == COUNTER_NOISE
        present[:, form.draw(draw)] = (
            table.draws > draw if is_counter else table.external_index[:, source] >= 0
        )
    return present


def _name(form: Form, column: int) -> str:
    """A column as messages call it."""
    starts = {
        "register": 0,
        "branch": form.branch(0),
        "G": form.guided,
        "D": form.estimate(0),
        "draw": form.draw(0),
        "external": form.external(0),
        "1": form.one,
    }
    name, start = [item for item in starts.items() if item[1] <= column][-1]
    return name if name in ("G", "1") else f"{name} {column - start}"

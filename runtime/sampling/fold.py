"""The only place that turns solver rows, network meaning, guidance and operations into a table.

D and E of the canonical columns are replaced by what the raw network outputs say about them:

    D = dx R_0 + sum_b w_b df F_b      E = ex R_0 + sum_b w_b ef F_b

With a guidance rule the sum is G; with an operation on D the column D_0 takes its place. A rule or
an operation of the solver itself takes what guidance and the bound leave of V, U and D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.rule import VECTORS
from denoisert.kernels.step.form import ARGUMENTS, DRAWS, Form
from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampling.asked import network_columns
from denoisert.runtime.sampling.basis import (
    DENOISED,
    GUIDED,
    NOISE,
    RESULT,
    VARIANCE,
    EstimateMap,
    Vector,
)
from denoisert.runtime.sampling.fit import check_fit
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.guidance import Branches, Guidance
from denoisert.runtime.sampling.parametrisation import Parametrisation, estimates
from denoisert.runtime.sampling.registers import liveness, placement
from denoisert.runtime.sampling.rows import Rows
from denoisert.runtime.sampling.table import (
    COUNTER_NOISE,
    Floats,
    SamplerTable,
    TableProduct,
)


def fold(
    rows: Rows,
    parametrisation: Parametrisation | Sequence[Parametrisation],
    guidance: Guidance,
    *,
    noise_source: tuple[int, int] = (COUNTER_NOISE, COUNTER_NOISE),
) -> SamplerTable:
    """Compile solver rows into a table over raw network outputs.

    Args:
        rows: what the solver says.
        parametrisation: meaning of the network's output, one for all branches or one per branch.
        guidance: which branches exist and how they combine.
        noise_source: where each draw comes from: the counter, or an external's index.

    Returns:
        The table, with history renamed instead of copied.

    Raises:
        InvalidTable: the parts do not fit together.
        InvalidInput: guidance and solver both need a rule.
    """
    branches = guidance.branches(rows.points)
    check_fit(rows, branches)
    count = len(branches.conditions)
    if isinstance(parametrisation, Parametrisation):
        parametrisation = [parametrisation] * count
    if len(parametrisation) != count:
        raise InvalidTable(
            f"{len(parametrisation)} parametrisations for {count} branches; give one for each."
        )
    learned = rows.reads(rows.basis.variance)
    form = Form(
        rows.basis.count, count + int(learned.any()), len(rows.basis.externals), rows.taps.shape[1]
    )
    read = np.array([rows.reads(unit) for unit in (rows.basis.denoised, rows.basis.noise)])
    if rows.bound is not None and rows.bound.rederive:
        read[0] |= read[1]  # E is made of D
    return _Fold(rows, form, list(parametrisation), branches, learned, read).table(noise_source)


@dataclass(frozen=True, slots=True)
class _Fold:
    """One table in the making."""

    rows: Rows
    form: Form
    parametrisations: list[Parametrisation]
    branches: Branches
    learned: NDArray[np.bool_]
    read: NDArray[np.bool_]

    @property
    def first_operation(self) -> int:
        """Which of D_0, D_1 is the solver's O_0: the bound takes the first."""
        return int(self.rows.bound is not None)

    def table(self, noise_source: tuple[int, int]) -> SamplerTable:
        rows, form = self.rows, self.form
        count = rows.stages + 1
        matrix = np.zeros((count, form.rows, form.columns))
        columns = self._prologue()
        self._own(matrix[0], 0, columns)
        products = [self._row(matrix[0], 0, columns)]
        for stage in range(rows.stages):
            maps = self._stage(matrix[stage + 1], stage)
            products.append(self._row(matrix[stage + 1], stage + 1, maps))
        live = liveness(matrix, tuple(products), form)
        operation, arguments = self._operations()
        return SamplerTable(
            form=form,
            matrix=matrix,
            **network_columns(rows, self.branches, self.learned),
            **self._rules(),
            operation=operation,
            operation_args=arguments,
            products=tuple(products),
            tap_index=rows.tap_index,
            externals=rows.basis.externals,
            external_index=rows.external_index,
            noise_source=noise_source,
            draws=rows.draws,
            rename=placement(matrix, tuple(products), live, form),
            alpha=self._points("alpha"),
            sigma=self._points("sigma"),
            live=live,
            steps=rows.steps,
        )

    def _points(self, name: str) -> Floats:
        return np.array([np.nan, *(getattr(point, name) for point in self.rows.points)])

    def _prologue(self) -> Floats:
        """Canonical columns in table columns where no network has spoken: no D, no E."""
        basis, form = self.rows.basis, self.form
        columns = np.zeros((basis.width, form.columns))
        columns[: basis.count, : form.registers] = np.eye(basis.count)
        for draw in range(DRAWS):
            columns[basis.first_draw + draw, form.draw(draw)] = 1.0
        for external in range(form.externals):
            columns[basis.first_external + external, form.external(external)] = 1.0
        columns[-1, form.one] = 1.0
        return columns

    def _stage(self, matrix: Floats, stage: int) -> Floats:
        """Fill V and U of one stage; return the canonical columns in table columns."""
        columns, form = self._prologue(), self.form
        point = self.rows.points[stage]
        ruled = bool(self.branches.rule[stage])
        denoised, noise = self._ruled(point, stage) if ruled else self._linear(point, stage)
        if ruled:
            for vector in range(VECTORS[self.branches.rule[stage]]):
                matrix[form.vector_row(vector), form.branch(vector)] = 1.0
        bound = self.rows.bound
        if bound is not None:
            matrix[form.argument_row(0)] = denoised
            denoised = self._unit(form.estimate(0))
            if bound.rederive and self.read[1, stage + 1]:
                noise = self._rederived(point, denoised)
        first = self.rows.basis.count
        columns[first + DENOISED], columns[first + NOISE] = denoised, noise
        if self.learned[stage + 1]:
            columns[first + VARIANCE] = self._unit(form.branch(form.branches - 1))
        self._own(matrix, stage + 1, columns)
        return columns

    def _unit(self, column: int) -> Vector:
        vector = np.zeros(self.form.columns)
        vector[column] = 1.0
        return vector

    def _own(self, matrix: Floats, row: int, columns: Floats) -> None:
        """Fill V and U with the solver's own rule and operations, and the columns they make."""
        form, basis = self.form, self.rows.basis
        rule = self.rows.rules[row]
        if rule is not None:
            for index, vector in enumerate(rule.vectors):
                matrix[form.vector_row(index)] = vector @ columns
            columns[basis.count + GUIDED] = self._unit(form.guided)
        applied = self.rows.operations[row]
        if self.first_operation + len(applied) > ARGUMENTS:
            raise InvalidInput(
                f"{self.rows.bound} and the solver's own {len(applied)} operations; a stage holds "
                f"{ARGUMENTS}. Use the solver without the bound."
            )
        for index, operation in enumerate(applied):
            place = self.first_operation + index
            matrix[form.argument_row(place)] = operation.argument @ columns
            columns[basis.count + RESULT + index] = self._unit(form.estimate(place))

    def _linear(self, point: Point, stage: int) -> tuple[Vector, Vector]:
        denoised, noise = np.zeros(self.form.columns), np.zeros(self.form.columns)
        for branch, weight in enumerate(self.branches.weights[stage]):
            if weight != 0:
                pair = self._estimates(point, stage, branch, self.form.branch(branch))
                denoised += weight * pair[0]
                noise += weight * pair[1]
        return denoised, noise

    def _ruled(self, point: Point, stage: int) -> tuple[Vector, Vector]:
        used = {self.parametrisations[b] for b in np.flatnonzero(self.branches.weights[stage])}
        if len(used) != 1:
            raise InvalidTable("a guidance rule needs branches of one parametrisation.")
        return self._estimates(point, stage, 0, self.form.guided)

    def _estimates(
        self, point: Point, stage: int, branch: int, column: int
    ) -> tuple[Vector, Vector]:
        """D and E when the table column `column` holds what branch `branch` says.

        What the network does not determine is 0 if the stage does not read it.
        """
        scale, parametrisation = point.input_scale, self.parametrisations[branch]
        pairs = estimates(parametrisation, scale * point.alpha, scale * point.sigma)
        vectors = np.zeros((2, self.form.columns))
        is_rederived = self.rows.bound is not None and self.rows.bound.rederive
        needed = (self.read[0, stage + 1], self.read[1, stage + 1] and not is_rederived)
        for vector, pair, is_needed in zip(vectors, pairs, needed, strict=True):
            if pair is None and is_needed:
                raise InvalidTable(
                    f"{parametrisation.value} at alpha = {point.alpha:g}, sigma = {point.sigma:g} "
                    "does not determine the clean latent and the noise. Use a schedule that avoids "
                    "this point, or a v network."
                )
            vector[0], vector[column] = (scale * pair[0], pair[1]) if pair else (0.0, 0.0)
        return vectors[0], vectors[1]

    def _rederived(self, point: Point, clipped: Vector) -> Vector:
        if point.sigma == 0:
            raise InvalidTable(
                "the noise estimate cannot be re-derived where sigma is 0. Use rederive=False, or "
                "a last point with noise."
            )
        noise = -point.alpha / point.sigma * clipped
        noise[0] += 1.0 / point.sigma
        return noise

    def _row(self, matrix: Floats, row: int, columns: Floats) -> tuple[TableProduct, ...]:
        """Fill R' and the taps of one row set; return its products."""
        form, rows = self.form, self.rows
        matrix[form.register_row(0) : form.register_row(form.registers)] = (
            rows.registers[row] @ columns
        )
        if form.taps:
            matrix[form.tap_row(0) : form.tap_row(form.taps)] = rows.taps[row] @ columns
        products: list[TableProduct] = []
        for term in rows.products[row]:
            source: NDArray[np.float64] = term.source @ columns
            where = term.map
            if isinstance(where, EstimateMap):
                where = EstimateMap(where.position + self.first_operation)
            products += [
                TableProduct(term.register, term.gain * float(source[column]), where, int(column))
                for column in np.flatnonzero(source)
            ]
        return tuple(products)

    def _rules(self) -> dict[str, NDArray[Any]]:
        """Rule of every stage, the guidance's or the solver's own."""
        rule = np.concatenate([[0], self.branches.rule])
        arguments = np.concatenate([np.zeros((1, 8)), self.branches.rule_args])
        for row, own in enumerate(self.rows.rules):
            if own is not None:
                rule[row], arguments[row, : len(own.args)] = own.rule, own.args
        return {"rule": rule, "rule_args": arguments}

    def _operations(self) -> tuple[NDArray[np.int64], Floats]:
        count = self.rows.stages + 1
        operation = np.full((count, ARGUMENTS), Operation.NONE, np.int64)
        arguments = np.zeros((count, ARGUMENTS, 2))
        if self.rows.bound is not None:
            code, low, high = self.rows.bound.code()
            operation[1:, 0], arguments[1:, 0] = code, (low, high)
        for row, applied in enumerate(self.rows.operations):
            for index, own in enumerate(applied, self.first_operation):
                operation[row, index], arguments[row, index] = own.operation, (own.low, own.high)
        return operation, arguments

"""Random row sets with all that a row may hold, and how far float32 may be from their truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from denoisert.kernels.philox import reference as philox
from denoisert.kernels.step import reference
from denoisert.kernels.step.encode import Surroundings
from denoisert.kernels.step.record import MOST_PRODUCTS, Record
from denoisert.kernels.step.row import Operation, Product, Row, pack
from tests.kernels.step_space import PAGE, enter, write_row
from tests.kernels.test_step import NONE, OPERATIONS, cast, sparse, used_columns

ULP = 2.0**-23
ROUNDINGS = 4 * ULP  # of a row, as a share of the sum of its absolute terms
NOISE = 2e-6  # of a normal number, absolute
THRESHOLDS = (1.25, 0.5)


@dataclass(frozen=True)
class Case:
    """One row set of one slot and what its next one asks, as reference and pool see it."""

    row: Row
    around: Surroundings
    asks: Surroundings
    columns: np.ndarray
    weights: np.ndarray | None
    seed: int
    image: int
    purpose: int
    thresholds: tuple[float, float] = THRESHOLDS

    @property
    def form(self):
        return self.row.form

    def read(self):
        """Columns whose values may matter: those of the row, and the next inputs' registers."""
        kept = used_columns(self.row)
        return kept | ({*self.around.needed, self.around.pending} - set(self.row.targets))


def number(rng):
    """A normal number that float32 holds."""
    return float(np.float32(rng.standard_normal()))


def products_of(rng, form, elements, registers):
    """16 products: maps 1, external, D_o, G, register, branch and draw; every source; ranges."""
    sources = [0, form.branch(0), form.guided, form.estimate(0), form.estimate(1)]
    sources += [form.draw(0), form.draw(1), form.external(0), form.one, form.registers - 1]
    maps = [form.guided, -1, form.external(form.externals - 1), form.estimate(0)]
    maps += [form.estimate(1), 0, form.branch(form.branches - 1), form.draw(1)]
    found = []
    for index in range(MOST_PRODUCTS):
        first, last = sorted(rng.integers(0, elements + 1, 2))
        span = (0, elements) if index % 4 == 0 else (int(first), int(last))
        source, column = sources[index % len(sources)], maps[index % len(maps)]
        position = int(rng.integers(registers))
        found.append(Product(position, number(rng), column, source, *span))
    return tuple(found)


def row_of(rng, form, elements):
    """A random row set: about half of the registers are written, in a shuffled order."""
    record = Record(form)
    matrix = sparse(rng, form)
    arguments = matrix[form.argument_row(0) : form.register_row(0)]
    arguments *= 4  # about 1, so that operations have something to do
    arguments[1, form.estimate(0)] = 0.5
    if not record.has_operations:
        matrix[:, form.estimate(0) : form.draw(0)] = 0
    count = int(rng.integers(1, form.registers + 1))
    operations = (NONE, NONE)
    if record.has_operations:
        operations = tuple(
            (code, float(np.float32(a)), float(np.float32(b)))
            for code, a, b in (OPERATIONS[rng.integers(4)] for _ in range(2))
        )
    taps = tuple(int(t) for t in np.flatnonzero(rng.random(form.taps) < 0.7))
    packed = pack(
        matrix,
        form,
        operations=operations,
        registers=tuple(int(i) for i in rng.permutation(form.registers)[:count]),
        targets=tuple(int(i) for i in rng.permutation(form.registers)[:count]),
        products=products_of(rng, form, elements, count) if record.has_operations else (),
        taps=taps,
    )
    return cast(packed, np.float32), taps


def asks_of(rng, form):
    """What a row has the lanes evaluate."""
    count = int(rng.integers(1, form.branches + 1))
    return Surroundings(
        sources=tuple(int(i) for i in rng.integers(0, form.registers, count)),
        scales=tuple(number(rng) for _ in range(count)),
        times=tuple(number(rng) for _ in range(count)),
        scalars=tuple(tuple(number(rng) for _ in range(4)) for _ in range(count)),
    )


def around_of(rng, row, taps, asks):
    """Where this row's externals, taps and noise are, and what the next one needs."""
    form = row.form
    return asks_of(rng, form)._replace(
        draw_base=int(rng.integers(0, 1000)),
        pages=(PAGE,) * form.externals,
        taps=tuple((tape, 2 + index % 2) for index, tape in enumerate(taps)),
        rule=(0, 0) if row.vectors is None else (1, len(row.vectors.coefficients)),
        pending=int(rng.integers(form.registers)),
        needed=tuple(sorted(set(asks.sources))),
        is_followed=True,
    )


def random_case(seed, form, elements, *, channels=1, dtype=torch.float32):
    """A row with everything, its columns, and NaN in every column that it must not read."""
    rng = np.random.default_rng([seed, form.registers, elements])
    row, taps = row_of(rng, form, elements)
    asks = asks_of(rng, form)
    around = around_of(rng, row, taps, asks)
    columns = rng.standard_normal((form.columns, elements)).astype(np.float32)
    columns[form.one] = 1
    branches = slice(form.registers, form.guided)
    columns[branches] = torch.from_numpy(columns[branches]).to(dtype).float().numpy()
    count = 0 if row.vectors is None else len(row.vectors.coefficients)
    weights = rng.standard_normal((channels, count)).astype(np.float32) if count else None
    numbers = (int(rng.integers(1 << 63)) * 2 + 1, int(rng.integers(9)), 256 * int(rng.integers(9)))
    case = Case(row, around, asks, columns, weights, *numbers)
    for q in range(2):
        columns[form.draw(q)] = noise_of(case, q)
    unread = sorted(set(range(form.columns)) - case.read())
    columns[unread] = np.nan
    return case


def noise_of(case, q):
    """xi_q by the specification."""
    drawn = case.around.draw_base + q
    return philox.normals(
        case.seed,
        draw=drawn,
        image=case.image,
        count=case.columns.shape[1],
        loop=case.purpose // 256,
        purpose=case.purpose % 256,
    )


def write_case(where, slot, case, *, offset=1, counter=0):
    """Put a case's row and its next one into the arena, and its columns into a slot."""
    space = where.space
    write_row(where, offset + counter, case.row, case.around)
    write_row(where, offset + counter + 1, case.row._replace(taps=None), case.asks)
    given = {"seed": case.seed, "image": case.image, "purpose": case.purpose, "counter": counter}
    enter(where, slot, offset=offset, columns=case.columns, **given)
    if case.weights is not None:
        space.found[0][slot, :, : case.weights.shape[1]] = torch.from_numpy(case.weights)
    space.found[1][slot] = torch.tensor(case.thresholds)


class Truth(NamedTuple):
    """Registers and taps that a row computes, and how far float32 may be from each of them."""

    registers: np.ndarray
    taps: np.ndarray
    register_bounds: np.ndarray
    tap_bounds: np.ndarray


def truth_of(case):
    """The reference in float64, and its bound: DESIGN section 8 by element, through operations.

    A sum may err by 4 ulp of the sum of its absolute terms and by its terms' own errors times their
    coefficients; a normal number errs by 2e-6.
    """
    row, form = case.row, case.form
    z = case.columns.astype(np.float64)
    weights = None if case.weights is None else case.weights.astype(np.float64)
    given = {"weights": weights, "thresholds": case.thresholds}
    registers, taps = reference.step(z, row, **given)
    errors = column_errors(case)
    if row.vectors is not None:
        z[form.guided] = reference.guide(reference.combine(z, row.vectors), weights)
        errors[form.guided] = reference.guide(errors_of(z, errors, row.vectors), np.abs(weights))
    for order, terms in enumerate(row.arguments):
        if terms is not None:
            u = reference.combine(z, terms)[0]
            at = form.estimate(order)
            z[at] = reference.operate(u, row.operations[order], case.thresholds[order])
            own = errors_of(z, errors, terms)[0]
            errors[at] = _through(u, own, row.operations[order], case.thresholds[order])
    allowed = [
        np.zeros_like(found) if terms is None else errors_of(z, errors, terms)
        for found, terms in ((registers, row.registers), (taps, row.taps))
    ]
    for product in row.products:
        span = slice(product.first, product.last)
        x, dx = np.abs(z[product.source, span]), errors[product.source, span]
        y, dy = np.ones_like(x), np.zeros_like(x)
        if product.column >= 0:
            y, dy = np.abs(z[product.column, span]), errors[product.column, span]
        allowed[0][product.register, span] += abs(product.gain) * (
            ROUNDINGS * x * y + x * dy + y * dx
        )
    return Truth(registers, taps, *allowed)


def column_errors(case):
    """Errors of the columns that a row finds: those of the noise."""
    errors = np.zeros(case.columns.shape)
    for q, (external, _) in enumerate(case.around.recorded):
        errors[case.form.draw(q)] = NOISE if external < 0 else 0.0
    return errors


def errors_of(z, errors, terms):
    """Bounds of sums over columns that have errors themselves."""
    found = np.zeros((len(terms.coefficients), z.shape[1]))
    for row, coefficients in zip(found, np.abs(terms.coefficients), strict=True):
        for column, coefficient in zip(terms.columns, coefficients, strict=True):
            if coefficient:
                row += coefficient * (ROUNDINGS * np.abs(z[column]) + errors[column])
    return found


def _through(u, error, operation, threshold):
    """The bound of op(U) from that of U."""
    code, a, b = operation
    if code is Operation.DYNAMIC_THRESHOLD:
        return error / min(max(threshold, 1.0), b) + ULP
    if code is Operation.REFLECT:
        return error + ROUNDINGS * (np.abs(u) + abs(a) + abs(b))
    if code is Operation.EXP_HALF:
        return np.exp(u / 2) * (error / 2 + 3 * ULP)
    return error

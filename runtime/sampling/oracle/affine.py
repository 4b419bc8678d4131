"""The whole map of a linear table on Gaussian data: what every draw does to the result.

With an affine denoiser every row set is affine in (registers, noise), so a run is one affine map
of its draws, found row by row without sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.basis import EstimateMap, Everywhere, RangeMap
from denoisert.runtime.sampling.oracle.gaussian import Gaussian
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import COUNTER_NOISE, SamplerTable, TableProduct

Floats = NDArray[np.float64]
Page = float | Floats | Gaussian
Pages = Mapping[str, Sequence[Page]]


class Affine(NamedTuple):
    """R_i = offset_i + sum_j gains_ij xi_j, element by element, the xi_j independent N(0, 1).

    Args:
        offset: (K, elements).
        gains: (K, J, elements); first the draws in their order, then the random pages.
    """

    offset: Floats
    gains: Floats


def compose(
    table: SamplerTable,
    denoisers: Sequence[Gaussian],
    parametrisation: Parametrisation,
    externals: Pages | None = None,
    layout: StateLayout | None = None,
) -> Affine:
    """The affine map from draws to the registers after the last row of a table.

    Args:
        table: a linear table: no operation, no rule, no product by an estimate.
        denoisers: condition c is answered by denoisers[c].
        parametrisation: meaning of the raw outputs.
        externals: name -> pages; a page is a number, (elements,), or a Gaussian that is drawn once
            and is the same wherever it is read.
        layout: of the state; needed where a product covers a range.

    Returns:
        The map of (R_0, .., R_{K-1}), those that nobody reads any more included.

    Raises:
        InvalidInput: a table that is not linear, a missing external, or numbers of elements that
            do not agree.
    """
    if table.operation.any() or table.rule.any():
        raise InvalidInput("operations and rules are not linear; run the table instead.")
    if table.port.any():
        raise InvalidInput("a learned variance has no closed form; run the table instead.")
    missing = [name for name in table.externals if name not in (externals or {})]
    if missing:
        raise InvalidInput(f"the table reads {', '.join(missing)}; give their pages.")
    composition = _Composition(table, denoisers, parametrisation, externals or {}, layout)
    registers = np.zeros((table.form.registers, composition.sources, composition.elements))
    for row in range(table.stages + 1):
        registers = composition.update(row, composition.columns(row, registers))
    return Affine(registers[:, 0], registers[:, 1:])


@dataclass(frozen=True, slots=True)
class _Composition:
    """One table and what is put in; every column is an array over (1, xi_0, .., xi_{J-1})."""

    table: SamplerTable
    denoisers: Sequence[Gaussian]
    parametrisation: Parametrisation
    externals: Pages
    layout: StateLayout | None

    @property
    def random_pages(self) -> list[tuple[str, int]]:
        """The pages that are Gaussians, as (name, page)."""
        return [
            (name, page)
            for name, pages in self.externals.items()
            for page, value in enumerate(pages)
            if isinstance(value, Gaussian)
        ]

    @property
    def sources(self) -> int:
        """1 + J."""
        return 1 + int(self.table.draws.sum()) + len(self.random_pages)

    @property
    def elements(self) -> int:
        """Elements of every value together, 1 where all are single numbers."""
        pages = [value for values in self.externals.values() for value in values]
        given = [np.shape(v) for v in pages if not isinstance(v, Gaussian)]
        laws = [*self.denoisers, *(v for v in pages if isinstance(v, Gaussian))]
        given += [np.shape(v) for law in laws for v in (law.mean, law.variance)]
        if self.layout is not None:
            given.append((self.layout.elements,))
        try:
            return int(np.prod(np.broadcast_shapes((1,), *given)))
        except ValueError:
            raise InvalidInput(
                f"values of shapes {sorted(set(given))} belong to no state of one size."
            ) from None

    def columns(self, row: int, registers: Floats) -> Floats:
        """Every column of one row set, (columns, 1 + J, elements)."""
        table, form = self.table, self.table.form
        z = np.zeros((form.columns, *registers.shape[1:]))
        z[: form.registers] = registers
        z[form.one, 0] = 1.0
        for index, name in enumerate(table.externals):
            page = int(table.external_index[row, index])
            if page >= 0:
                self._put(z[form.external(index)], name, page)
        for draw, source in enumerate(table.noise_source):
            if source != COUNTER_NOISE:
                z[form.draw(draw)] = z[form.external(source)]
            elif draw < table.draws[row]:
                z[form.draw(draw), 1 + table.draw_base[row] + draw] = 1.0
        for branch in np.flatnonzero(table.condition[row] >= 0):
            heard = registers[int(table.input_register[row, branch])]
            z[form.branch(int(branch))] = self._answer(row, int(branch), heard)
        return z

    def _put(self, column: Floats, name: str, page: int) -> None:
        value = self.externals[name][page]
        if isinstance(value, Gaussian):
            random = self.random_pages
            place = self.sources - len(random) + random.index((name, page))
            column[0], column[place] = value.mean, np.sqrt(value.variance)
        else:
            column[0] = value

    def _answer(self, row: int, branch: int, heard: Floats) -> Floats:
        """F = slope input + offset of one branch."""
        table = self.table
        scale = float(table.input_scale[row, branch])
        alpha, sigma = scale * float(table.alpha[row]), scale * float(table.sigma[row])
        a, b = self.parametrisation.mix(alpha, sigma)
        law = self.denoisers[int(table.condition[row, branch])]
        denoised, noise = law.estimates(np.zeros(heard.shape[-1]), alpha, sigma)
        _, variance = law.moments(1.0, 0.0)
        slope = (a * alpha * variance + b * sigma) / (alpha**2 * variance + sigma**2)
        answer = slope * scale * heard
        answer[0] += a * denoised + b * noise
        return np.asarray(answer)

    def update(self, row: int, columns: Floats) -> Floats:
        """The registers after one row set, products included."""
        form = self.table.form
        block = self.table.matrix[row, form.register_row(0) : form.register_row(form.registers)]
        registers = np.tensordot(block, columns, 1)
        for product in self.table.products[row]:
            where = self._map(product, columns)
            registers[product.register] += product.gain * where * columns[product.source]
        return np.asarray(registers)

    def _map(self, product: TableProduct, columns: Floats) -> Floats:
        """The map of one product, (elements,) or one number."""
        where = product.map
        if isinstance(where, Everywhere):
            return np.ones(1)
        if isinstance(where, RangeMap):
            return self._range(where)
        column = columns[self.table.form.external(where.position)]
        if isinstance(where, EstimateMap) or column[1:].any():
            raise InvalidInput(f"a product by {where} is not linear; run the table instead.")
        return np.asarray(column[0])

    def _range(self, where: RangeMap) -> Floats:
        if self.layout is None:
            raise InvalidInput(f"a product on {where} differs by element; give the state's layout.")
        part = self.layout.parts[where.part]
        first = self.layout.ranges[where.part][0] + where.first * part.channel_stride
        channels = where.channels or part.channels - where.first
        indicator = np.zeros(self.layout.elements)
        indicator[first : first + channels * part.channel_stride] = 1.0
        return indicator

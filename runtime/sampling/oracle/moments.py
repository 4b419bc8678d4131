"""Exact moments of a linear table on Gaussian data: what a sampler produces, without sampling.

With an affine denoiser every row set is affine in (registers, noise), so the mean and the
covariance of the registers follow row by row. Weak order and variance of a stochastic solver are
then numbers, not estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import DRAWS
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle.gaussian import Gaussian
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.rows import Everywhere, ExternalMap
from denoisert.runtime.sampling.table import COUNTER_NOISE, SamplerTable, TableProduct

Floats = NDArray[np.float64]
Values = Mapping[str, Sequence[float]]


class Moments(NamedTuple):
    """Moments of the registers of one element; the latent is register 0.

    Args:
        mean: (K,).
        covariance: (K, K).
    """

    mean: Floats
    covariance: Floats


def propagate(
    table: SamplerTable,
    denoisers: Sequence[Gaussian],
    parametrisation: Parametrisation,
    externals: Values | None = None,
) -> Moments:
    """Moments of the registers after the last row of a table.

    R' = A R + c + N xi, once every F_b = slope_b R_input + offset_b is put in; then
    mean' = A mean + c,  covariance' = A covariance A^T + N N^T.

    Args:
        table: a linear table: no operation, no guidance rule, no product on a range or by an
            estimate.
        denoisers: condition c is answered by denoisers[c]; mean and variance are single numbers.
        parametrisation: meaning of the raw outputs.
        externals: name -> value of every page, the same for all elements.

    Returns:
        The moments of (R_0, .., R_{K-1}) at the end, those that nobody reads any more included.

    Raises:
        InvalidInput: a table that is not linear, or a Gaussian with a mean or variance per element.

    Source: the moments of an affine map of Gaussians, Bishop 2006, eq. 2.113 to 2.115.
    """
    if any(np.ndim(value) for each in denoisers for value in (each.mean, each.variance)):
        raise InvalidInput("moments of one element need Gaussians of one mean and one variance.")
    if table.operation.any() or table.rule.any():
        raise InvalidInput("operations and guidance rules are not linear; run the table instead.")
    count = table.form.registers
    mean, covariance = np.zeros(count), np.zeros((count, count))
    for row in range(table.stages + 1):
        columns = _columns(table, row, denoisers, parametrisation, externals or {})
        update = _registers(table, row, columns) @ columns
        onward, offset, gains = np.split(update, [count, count + 1], axis=1)
        mean = onward @ mean + offset[:, 0]
        covariance = onward @ covariance @ onward.T + gains @ gains.T
    return Moments(mean, covariance)


def _columns(
    table: SamplerTable,
    row: int,
    denoisers: Sequence[Gaussian],
    parametrisation: Parametrisation,
    externals: Values,
) -> Floats:
    """Every column of one row set over (R_0 .. R_{K-1}, 1, xi_0, xi_1)."""
    form = table.form
    z = np.zeros((form.columns, form.registers + 1 + DRAWS))
    z[: form.registers, : form.registers] = np.eye(form.registers)
    z[form.one, form.registers] = 1.0
    for index, name in enumerate(table.externals):
        page = int(table.external_index[row, index])
        if page >= 0:
            z[form.external(index), form.registers] = externals[name][page]
    for draw, source in enumerate(table.noise_source):
        if source == COUNTER_NOISE:
            z[form.draw(draw), form.registers + 1 + draw] = 1.0
        else:
            z[form.draw(draw)] = z[form.external(source)]
    for branch in np.flatnonzero(table.condition[row] >= 0):
        scale = float(table.input_scale[row, branch])
        alpha, sigma = scale * float(table.alpha[row]), scale * float(table.sigma[row])
        denoiser = denoisers[int(table.condition[row, branch])]
        slope, offset = _answer(denoiser, parametrisation, alpha, sigma)
        z[form.branch(int(branch)), int(table.input_register[row, branch])] = slope * scale
        z[form.branch(int(branch)), form.registers] = offset
    return z


def _answer(
    denoiser: Gaussian, parametrisation: Parametrisation, alpha: float, sigma: float
) -> tuple[float, float]:
    """Slope and offset of F as a function of the network's input."""
    a, b = parametrisation.mix(alpha, sigma)
    centred = Gaussian(0.0, denoiser.variance)
    slope, offset = (
        a * denoised + b * noise
        for denoised, noise in (
            centred.estimates(np.array(1.0), alpha, sigma),
            denoiser.estimates(np.array(0.0), alpha, sigma),
        )
    )
    return float(slope), float(offset)


def _registers(table: SamplerTable, row: int, columns: Floats) -> Floats:
    """Register rows of one row set, products included."""
    form = table.form
    matrix = table.matrix[row, form.register_row(0) : form.register_row(form.registers)].copy()
    for product in table.products[row]:
        matrix[product.register, product.source] += product.gain * _map(table, product, columns)
    return matrix


def _map(table: SamplerTable, product: TableProduct, columns: Floats) -> float:
    if isinstance(product.map, Everywhere):
        return 1.0
    if isinstance(product.map, ExternalMap):
        return float(columns[table.form.external(product.map.position), table.form.registers])
    raise InvalidInput(f"a product by {product.map} is not linear; run the table instead.")

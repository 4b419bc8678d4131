"""Exact moments of a linear table on Gaussian data: what a sampler produces, without sampling.

Weak order and variance of a stochastic solver are then numbers, not estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.oracle.affine import Floats, Pages, compose
from denoisert.runtime.sampling.oracle.correlated import Correlated
from denoisert.runtime.sampling.oracle.gaussian import Gaussian
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import SamplerTable


class Moments(NamedTuple):
    """Moments of the registers; the latent is register 0.

    Args:
        mean: (K,), or (K, elements) where elements differ.
        covariance: (K, K), or (K, K, elements); different elements are independent.
    """

    mean: Floats
    covariance: Floats


def propagate(
    table: SamplerTable,
    denoisers: Sequence[Gaussian],
    parametrisation: Parametrisation,
    externals: Pages | None = None,
    layout: StateLayout | None = None,
) -> Moments:
    """Moments of the registers after the last row of a table.

    R = c + G xi, see `compose`; then mean = c and covariance = G G^T.

    Args:
        table: a linear table: no operation, no rule, no product by an estimate.
        denoisers: condition c is answered by denoisers[c].
        parametrisation: meaning of the raw outputs.
        externals: name -> pages; a page is a number, (elements,), or a Gaussian that is drawn once
            and is the same wherever it is read.
        layout: of the state; needed where a product covers a range.

    Returns:
        The moments of (R_0, .., R_{K-1}) at the end, those that nobody reads any more included.

    Raises:
        InvalidInput: a table that is not linear, or numbers of elements that do not agree.

    Source: the moments of an affine map of Gaussians, Bishop 2006, eq. 2.113 to 2.115.
    """
    mean, gains = compose(table, denoisers, parametrisation, externals, layout)
    covariance = np.einsum("ijn,kjn->ikn", gains, gains)
    if mean.shape[1] == 1:
        return Moments(mean[:, 0], covariance[:, :, 0])
    return Moments(mean, covariance)


def propagate_points(
    table: SamplerTable, data: Correlated, parametrisation: Parametrisation
) -> Moments:
    """Moments of the registers where the elements of a point depend on each other.

    A table treats all directions alike, so it is propagated along the axes of the data.

    Args:
        table: a linear table without externals or products that tell elements apart.
        data: answers every condition.
        parametrisation: meaning of the raw outputs.

    Returns:
        mean (K, width) and covariance (K, K, width, width), the last two of elements.

    Raises:
        InvalidInput: see `propagate`.
    """
    conditions = [data.along] * (int(table.condition.max()) + 1)
    mean, covariance = propagate(table, conditions, parametrisation)
    count, axes = table.form.registers, data.axes
    mean, covariance = mean.reshape(count, -1), covariance.reshape(count, count, -1)
    return Moments(mean @ axes.T, np.einsum("in,kln,jn->klij", axes, covariance, axes))

"""Exact moments of a linear table on Gaussian data: what a sampler produces, without sampling.

Weak order and variance of a stochastic solver are then numbers, not estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.oracle.affine import Floats, Pages, compose
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

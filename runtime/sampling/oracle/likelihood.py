"""Likelihood through a sampler's own map: the density of what a table produces, exactly.

A table without noise after its start is a map from xi ~ N(0, I) to x, so by change of variables
log p(x) = log N(xi) - log |det dx / dxi|. This is the likelihood of the discrete sampler; with many
steps it reaches that of the probability-flow ODE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle.affine import Affine, Floats
from denoisert.runtime.sampling.oracle.denoiser import Array, Denoiser
from denoisert.runtime.sampling.oracle.solve import solve
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import SamplerTable

FlatMap = Callable[[Array], Array]

STEP = 1e-5  # of central differences: truncation and rounding both stay near 1e-10
NEWTON_STEPS = 50
CONVERGED = 1e-11


class Likelihood(NamedTuple):
    """What a map makes of noise, and how likely that is.

    Args:
        latent: x, flat.
        log_density: log p of every point, (points,).
    """

    latent: Floats
    log_density: Floats


def affine_log_density(composed: Affine, latent: Array) -> Floats:
    """log p(x) of every element of what a linear table produces.

    log N((x - c) / a; 0, 1) - log |a|,  a^2 = sum_j gains_0j^2

    Without noise after the start there is one gain, and log |a| is the log-determinant of the
    composed map.

    Args:
        composed: of the table, see `compose`.
        latent: x, (elements,).
    """
    scale = np.sqrt((composed.gains[0] ** 2).sum(axis=0))
    centred = (latent - composed.offset[0]) / scale
    return np.asarray(-0.5 * (centred**2 + np.log(2.0 * np.pi)) - np.log(scale))


def table_map(
    table: SamplerTable,
    denoisers: Sequence[Denoiser],
    parametrisation: Parametrisation,
    externals: Mapping[str, Array] | None = None,
) -> FlatMap:
    """xi -> x of a table without noise after its start, on exact denoisers.

    Args:
        table: the sampler.
        denoisers: condition c is answered by denoisers[c].
        parametrisation: meaning of the raw outputs.
        externals: name -> (pages, elements).

    Raises:
        InvalidInput: the table draws noise on its way.
    """
    if table.draws[1:].any() or table.draws[0] != 1:
        raise InvalidInput(
            f"a table of {int(table.draws.sum())} draws is no map of its first one. Use a "
            "deterministic solver."
        )
    return lambda noise: solve(table, denoisers, parametrisation, [noise], externals).latent


def jacobian(mapping: FlatMap, at: Array, width: int) -> Floats:
    """Derivative of a map that treats points apart, by central differences.

    Args:
        mapping: flat latent -> flat latent.
        at: where, flat.
        width: elements of a point; the map costs 2 width evaluations for all points together.

    Returns:
        (points, width, width), rows are outputs.
    """
    columns = []
    for element in range(width):
        nudge = np.zeros((at.size // width, width))
        nudge[:, element] = STEP
        ahead, behind = mapping(at + nudge.ravel()), mapping(at - nudge.ravel())
        columns.append((ahead - behind).reshape(-1, width) / (2.0 * STEP))
    return np.stack(columns, axis=2)


def pushed(mapping: FlatMap, noise: Array, width: int) -> Likelihood:
    """x = f(xi) and log p(x) = log N(xi; 0, I) - log |det df / dxi|.

    Args:
        mapping: f, for example a `table_map`.
        noise: xi, flat.
        width: elements of a point.

    Source: change of variables; its limit of many steps is the likelihood of Song et al. 2021,
    arXiv 2011.13456; the discrete map's determinant as in Finzi et al. 2023, arXiv 2306.07526.
    """
    volume = np.linalg.slogdet(jacobian(mapping, noise, width))[1]
    square = (noise.reshape(-1, width) ** 2).sum(axis=1)
    start = -0.5 * (square + width * np.log(2.0 * np.pi))
    return Likelihood(np.asarray(mapping(noise)), np.asarray(start - volume))


def preimage(mapping: FlatMap, latent: Array, guess: Array, width: int) -> Floats:
    """The xi with f(xi) = x, by Newton's method.

    Args:
        mapping: f.
        latent: x, flat.
        guess: where to begin, for example what the probability flow makes of x.
        width: elements of a point.

    Raises:
        InvalidInput: it does not converge.
    """
    noise = np.asarray(guess, np.float64)
    for _ in range(NEWTON_STEPS):
        rest = (mapping(noise) - latent).reshape(-1, width, 1)
        if np.abs(rest).max() < CONVERGED * max(1.0, np.abs(latent).max()):
            return noise
        noise = noise - np.linalg.solve(jacobian(mapping, noise, width), rest).ravel()
    raise InvalidInput("no noise was found that this map takes to the latent; give a closer guess.")

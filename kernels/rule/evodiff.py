"""The rule "evodiff": weights of a step's end and of the next probe from products of estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

VECTORS = 3  # V_0 = m_t - m_0, V_1 = m_0 - m_1, V_2 = m_0
PER_CHANNEL = True

LIMIT = 2.0  # of every projection
FEW = 20  # steps up to which the gain follows the probe's error alone


class _Step(NamedTuple):
    """A step that ends: the scalars that the row of its probe left, and its noise level now."""

    balance: Array  # r_1
    size: Array  # h
    ratio: Array  # rho
    kept: Array  # sigma_t / sigma_s
    gain: Array  # k = sigma_t h
    exists: NDArray[np.bool_]

    @classmethod
    def of(cls, carried: Array, sigma: float) -> _Step:
        """What a row finds; 1 stands for what would be 0 where no step ends."""
        exists = carried[:, 1] > 0.0
        size, ratio, before = np.where(exists, carried[:, 1:].T, 1.0)
        gain = np.where(exists, sigma * size, 1.0)
        return cls(carried[:, 0].copy(), size, ratio, sigma / before, gain, exists)


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def evodiff(
    products: Array,
    sums: Array,
    count: int,
    args: Sequence[float] | NDArray[Any],
    carried: Array,
) -> Array:
    """Weights of V in the end of one step and the probe of the next.

    m_t, m_0, m_1 are the clean estimates, newest first; c = <m_t, m_0> / <m_0, m_0>,
    r_2 = (1 - omega) b + omega c, and r' the same with the numbers of the next step.

    D_1 = m_0 - r_1 m_1,  D_2 = m_t - r_2 m_0,  D' = m_t - r' m_0
    G = k / 2 ((rho (1 - eta) D_2 - eta / rho D_1) / zeta - D_1 / r_i) + sigma_t h' D' / (2 r'_i)

    with k = sigma_t h, r_i = rho sigmoid(|r_1| / 4), and eta, zeta as `_ends` says. Where G joins a
    probe, the step has ended: x_t = R_0 + G. r_1, h, rho and sigma_s are carried from the row
    before; h = 0, as in the first row, means that no step ends, and h' = 0 that none begins.
    Projections are clipped to -2 .. 2; one onto a vector of norm 0 is 0. Above 20 steps 1 / zeta
    reaches exp(2 / k) where D_1 nearly vanishes; weights that overflow fail their slot.

    Args:
        products: (channels, 3, 3) of V.
        sums: (channels, 3); not read.
        count: elements of a channel; not read.
        args: sigma_t; h', rho', (1 - omega') b', omega' of the step that begins; (1 - omega) b,
            omega of the one that ends; number of steps.
        carried: (channels, 4) r_1, h, rho, sigma_s; becomes r', h', rho', sigma_t.

    Returns:
        (channels, 3) float64.

    Source: arXiv 2509.26096, the authors' code samplers/evodiff.py. Its bounds 0.25 rho and 1.5 rho
    of r_i never bind, since the sigmoid of a number from 0 up lies in 0.5 .. 1.
    """
    sigma, size, ratio, base, share, base_now, share_now, steps = (float(each) for each in args)
    norm = products[:, 2, 2]
    alike = _projection(products[:, 0, 2] + norm, norm)
    following, now = base + share * alike, base_now + share_now * alike
    step = _Step.of(carried, sigma)
    old, new = _ends(products, step, now, steps)
    probe = 0.5 * sigma * size / (ratio * _sigmoid(0.25 * np.abs(following)))
    last = old * (1.0 - step.balance) + new * (1.0 - now) + probe * (1.0 - following)
    weights = np.stack([new + probe, old * step.balance, last], axis=1)
    carried[:, 0], carried[:, 1:] = following, (size, ratio, sigma)
    return weights


def _ends(products: Array, step: _Step, now: Array, steps: float) -> tuple[Array, Array]:
    """Weights of D_1 and D_2 in x_t - R_0, both 0 where no step ends.

    eta = sigmoid(|p| / 2) / 2, p = <q + p, q - p> / |q - p|^2 with p = D_1 / rho, q = rho D_2
    zeta = sigmoid(z) up to 20 steps, else sigmoid(-z s),  z = |<P, D_1> / |D_1|^2 / k| - 1/2,
    P = k / (2 r_i) (D_1 + eta / rho D_1 - rho (1 - eta) D_2)
    s = sigmoid((2 - (sigma_t / sigma_s)^2) h <m_0, m_0 - m_1> / |m_0 - m_1|^2)
    """
    v = products.transpose(1, 2, 0)
    r_1, rho, rest, other = step.balance, step.ratio, 1.0 - step.balance, 1.0 - now
    d_11 = r_1 * r_1 * v[1, 1] + 2.0 * r_1 * rest * v[1, 2] + rest * rest * v[2, 2]
    d_12 = r_1 * v[0, 1] + rest * v[0, 2] + other * (r_1 * v[1, 2] + rest * v[2, 2])
    d_22 = v[0, 0] + 2.0 * other * v[0, 2] + other * other * v[2, 2]
    before, after = d_11 / (rho * rho), rho * rho * d_22
    eta = 0.5 * _sigmoid(np.abs(0.5 * _projection(after - before, after - 2.0 * d_12 + before)))
    reach = 0.5 * step.gain / (rho * _sigmoid(0.25 * np.abs(r_1)))  # k / (2 r_i)
    error = reach * ((1.0 + eta / rho) * d_11 - rho * (1.0 - eta) * d_12)
    excess = np.abs(_projection(error, d_11) / step.gain) - 0.5
    if steps > FEW:
        trend = _projection(step.size * v[1, 2], v[1, 1])
        excess = -excess * _sigmoid(trend * (2.0 - step.kept * step.kept))
    scale = 0.5 * step.gain / _sigmoid(excess)
    old, new = -scale * eta / rho - reach, scale * rho * (1.0 - eta)
    return np.where(step.exists, old, 0.0), np.where(step.exists, new, 0.0)


def _projection(product: Array, norm: Array) -> Array:
    """product / norm, clipped; 0 where the norm is 0."""
    ratio = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0.0)
    return np.clip(ratio, -LIMIT, LIMIT)


def _sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))

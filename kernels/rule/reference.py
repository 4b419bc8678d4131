"""The specification of every rule as its paper writes it, on whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cfg_rescale(cond: NDArray[Any], uncond: NDArray[Any], scale: float, phi: float) -> NDArray[Any]:
    """Guidance whose standard deviation is pulled back to that of cond.

    g = uncond + scale (cond - uncond),  out = phi std(cond) / std(g) g + (1 - phi) g

    std is unbiased and runs over all elements; where std(g) is 0, the ratio is taken as 1.

    Args:
        cond: (n,) of any float type, n >= 2.
        uncond: (n,) of the same type.
        scale: guidance scale, 1 = none.
        phi: share of the rescaled vector, 0 .. 1.

    Returns:
        (n,) of the same type.

    Source: Lin, Liu, Li, Yang 2023, arXiv 2305.08891, section 3.4, equations 14 to 16.
    """
    guided = uncond + scale * (cond - uncond)
    spread = guided.std(ddof=1)
    ratio = cond.std(ddof=1) / spread if spread > 0 else 1.0
    rescaled: NDArray[Any] = (phi * ratio + (1 - phi)) * guided
    return rescaled


def langevin(score: NDArray[Any], noise: NDArray[Any], ratio: float, factor: float) -> NDArray[Any]:
    """A Langevin step whose size balances its two parts.

    e = 2 factor (ratio |noise| / |score|)^2,  out = e score + sqrt(2 e) noise

    where the score is 0, so is the step.

    Args:
        score: (n,) of any float type.
        noise: (n,) of the same type, standard normal.
        ratio: signal-to-noise ratio.
        factor: alpha of the time, 1 on a variance-exploding path.

    Returns:
        (n,) of the same type.

    Source: Song et al. 2021, arXiv 2011.13456, algorithms 4 and 5.
    """
    norm = np.linalg.norm(score)
    size = 2 * factor * (ratio * np.linalg.norm(noise) / norm) ** 2 if norm > 0 else 0.0 * norm
    step: NDArray[Any] = size * score + np.sqrt(2 * size) * noise
    return step


def evodiff(
    estimates: NDArray[Any], args: NDArray[Any], carried: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The end of one EVODiff step and the probe of the next, as what joins the pending probe.

    D_1 = m_0 - r_1 m_1,  D_2 = m_t - r_2 m_0,  P = D_1 / (rho h),  Q = rho D_2 / h
    B = rho (1 - eta) D_2 - eta / rho D_1
    G = k / 2 (B / zeta - D_1 / r_i) + sigma_t h' (m_t - r' m_0) / (2 r'_i),  k = sigma_t h

    Args:
        estimates: m_t, m_0, m_1 of one channel, (3, n) of any float type.
        args: (8,), see the rule.
        carried: (4,) r_1, h, rho and sigma_s; h = 0 means that no step ends.

    Returns:
        G, (n,), and what is carried on, (4,).

    Source: the authors' code, ShiguiLi/EVODiff, samplers/evodiff.py.
    """
    newest, newer, oldest = estimates
    sigma, h_next, rho_next, base, share, base_now, share_now, steps = args
    alike = _projected(newest, newer)
    following = base + share * alike
    begun = newest - following * newer
    guided = 0.5 * sigma * h_next / (rho_next * _sigmoid(abs(following) / 4)) * begun
    r_1, h, rho, sigma_before = carried
    if h > 0:
        d_1, d_2 = newer - r_1 * oldest, newest - (base_now + share_now * alike) * newer
        p, q = d_1 / (rho * h), rho * d_2 / h
        eta = 0.5 * _sigmoid(abs(0.5 * _projected(q + p, q - p)))
        mixed = rho * (1 - eta) * d_2 - eta / rho * d_1
        k, r_i = sigma * h, rho * _sigmoid(abs(r_1) / 4)
        error = 0.5 * k / r_i * d_1 - 0.5 * k / r_i * mixed
        excess = abs(_projected(error, d_1) / k) - 0.5
        if steps > 20:
            trend = _projected(newer, (newer - oldest) / h)
            excess = -excess * _sigmoid(trend * (2 - (sigma / sigma_before) ** 2))
        guided = guided + 0.5 * k * (mixed / _sigmoid(excess) - d_1 / r_i)
    return guided, np.array([following, h_next, rho_next, sigma])


def _projected(a: NDArray[Any], b: NDArray[Any]) -> float:
    """<a, b> / <b, b> within -2 .. 2; 0 where b is 0."""
    norm = float(b @ b)
    return min(max(float(a @ b) / norm, -2.0), 2.0) if norm > 0 else 0.0


def _sigmoid(x: float) -> float:
    return 1 / (1 + float(np.exp(-x)))

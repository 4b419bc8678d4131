"""The variational bound of ancestral sampling: how many nats a grid loses against log p."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.oracle.denoiser import Array, Denoiser


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """-log p(x0) <= prior + sum of steps + reconstruction, element by element, in nats.

    Args:
        prior: (elements,) KL of x at the first point to the noise a run starts from.
        steps: (N, elements) KL of every step.
        reconstruction: (elements,) -log p(x0 | x at the last point), expected.
    """

    prior: Array
    steps: Array
    reconstruction: Array

    @property
    def total(self) -> Array:
        """The bound of every element, (elements,); a latent's or point's is the sum of its own."""
        return np.asarray(self.prior + self.steps.sum(axis=0) + self.reconstruction)


def variational_bound(
    grid: Grid,
    denoiser: Denoiser,
    clean: Array,
    noise: Array,
    weights: Array | None = None,
) -> Bound:
    """The bound of the sampler x_s ~ q(x_s | x_t, x0 = D(x_t)), that is DDIM(eta=1).

    prior           KL(N(alpha_0 x0, sigma_0^2) || N(0, noise_gain^2))
    step            (snr_s - snr_t) / 2 E |x0 - D(alpha_t x0 + sigma_t eps)|^2
    reconstruction  -E log N(x0; x / alpha, (sigma / alpha)^2) at the last point

    The expectation over eps is a weighted mean. Equal weights and random noise are Monte Carlo;
    where D is affine the two draws +1 and -1 are exact, as Gauss and Hermite's rule of two nodes;
    with more nodes any denoiser whose points have one element is exact to rounding.

    Args:
        grid: its last point keeps some noise; it starts without a source.
        denoiser: of the data.
        clean: x0, (elements,).
        noise: eps, (M, elements) or (M, 1).
        weights: (M,), their sum is 1; by default all equal.

    Raises:
        InvalidInput: a grid that ends without noise, where the reconstruction has no density.

    Source: the bound of Ho et al. 2020, arXiv 2006.11239, its terms in the signal-to-noise ratio as
    in Kingma et al. 2021, arXiv 2107.00630, whose discrete-time loss and decoder these are.
    """
    if grid.sigma[-1] == 0.0 or grid.source_gain:
        raise InvalidInput(
            "the bound needs a grid that starts from noise alone and keeps some at its last point. "
            "Use a spacing with Final.LAST."
        )
    share = np.full(len(noise), 1.0 / len(noise)) if weights is None else np.asarray(weights)
    snr = (grid.alpha / grid.sigma) ** 2
    ratio = (grid.sigma[0] / grid.noise_gain) ** 2
    shift = (grid.alpha[0] * clean / grid.noise_gain) ** 2
    last = np.log(2.0 * np.pi / snr[-1])
    squares = np.broadcast_to(np.tensordot(share, np.asarray(noise) ** 2, 1), np.shape(clean))
    return Bound(
        prior=0.5 * (ratio - 1.0 - np.log(ratio) + shift),
        steps=0.5 * np.diff(snr)[:, None] * _errors(grid, denoiser, clean, noise, share),
        reconstruction=0.5 * (last + squares),
    )


def _errors(grid: Grid, denoiser: Denoiser, clean: Array, noise: Array, share: Array) -> Array:
    """E (x0 - D)^2 at the first N points, (N, elements)."""
    errors = []
    for step in range(grid.steps):
        alpha, sigma = float(grid.alpha[step]), float(grid.sigma[step])
        found = [denoiser.estimates(alpha * clean + sigma * eps, alpha, sigma)[0] for eps in noise]
        errors.append(np.tensordot(share, (clean - np.stack(found)) ** 2, 1))
    return np.stack(errors)

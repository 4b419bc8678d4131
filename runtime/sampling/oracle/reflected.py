"""Data in a box whose walls reflect the diffusion: the score is known exactly.

The heat kernel of [0, 1] with reflecting ends has two exact forms, a sum over mirror images that
is short at little noise, and a series of cosines that is short at much noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[Any]

MIDDLE = 0.5  # the sigma where both forms are as short as they can be for both
IMAGES = 4  # at MIDDLE those left out are below exp(-72)
COSINES = 9  # at MIDDLE those left out are below exp(-120)


def reflect(x: Array) -> Array:
    """Fold x back into [0, 1] at its ends, from any distance."""
    rest = np.mod(x, 2.0)
    return np.where(rest > 1.0, 2.0 - rest, rest)


def image_kernel(x: Array, y: Array, sigma: float, images: int = IMAGES) -> tuple[Array, Array]:
    """Heat kernel as a sum over mirror images of y.

    p(x | y) = sum_k N(x; 2k + y, sigma^2) + N(x; 2k - y, sigma^2),  |k| <= images

    Args:
        x: where, in [0, 1].
        y: start, in [0, 1], broadcast with x.
        sigma: standard deviation of the unreflected noise, above 0.
        images: pairs of images kept on either side.

    Returns:
        log p and its derivative in x.
    """
    x, y = np.broadcast_arrays(x, y)
    turns = 2.0 * np.arange(-images, images + 1)
    images_at = np.concatenate([np.add.outer(turns, y), np.subtract.outer(turns, y)])
    offset = (x - images_at) / sigma**2
    exponent = -0.5 * sigma**2 * offset**2
    most = exponent.max(axis=0)
    shares = np.exp(exponent - most)
    total = shares.sum(axis=0)
    log_density = most + np.log(total) - 0.5 * np.log(2.0 * np.pi * sigma**2)
    return log_density, -(shares * offset).sum(axis=0) / total


def cosine_kernel(x: Array, y: Array, sigma: float, terms: int = COSINES) -> tuple[Array, Array]:
    """Heat kernel as a series of the eigenfunctions of a reflecting interval.

    p(x | y) = 1 + 2 sum_{k >= 1} exp(-(k pi sigma)^2 / 2) cos(k pi x) cos(k pi y)

    Args:
        x: where, in [0, 1].
        y: start, in [0, 1], broadcast with x.
        sigma: standard deviation of the unreflected noise, large enough for the terms kept.
        terms: cosines kept.

    Returns:
        log p and its derivative in x.
    """
    x, y = np.broadcast_arrays(x, y)
    wave = np.pi * np.arange(1, terms + 1)
    decay = 2.0 * np.exp(-0.5 * (wave * sigma) ** 2)
    ahead = np.cos(np.multiply.outer(wave, y))
    angle = np.multiply.outer(wave, x)
    density = 1.0 + np.tensordot(decay, np.cos(angle) * ahead, 1)
    return np.log(density), -np.tensordot(decay * wave, np.sin(angle) * ahead, 1) / density


def heat_kernel(x: Array, y: Array, sigma: float) -> tuple[Array, Array]:
    """log p(x | y) and its derivative in x, by whichever form is short at this sigma.

    Args:
        x: where, in [0, 1].
        y: start, in [0, 1], broadcast with x.
        sigma: above 0.
    """
    return (image_kernel if sigma < MIDDLE else cosine_kernel)(x, y, sigma)


@dataclass(frozen=True, slots=True, eq=False)
class Reflected:
    """Points x0 in [0, 1]^width under the reflected variance-exploding diffusion.

    p(x) = sum_m weight_m prod_i p(x_i | mean_mi), p(x | y) the heat kernel of [0, 1]
    E = -sigma d log p / dx,  D = x - sigma E

    The coordinates diffuse independently. D is Tweedie's form of the score, so that a table reads
    this as any other denoiser; behind walls it is not the posterior mean. A latent of n elements
    is n / width points.

    Args:
        weights: (M,), positive; divided by their sum.
        points: (M, width), in [0, 1].

    Raises:
        InvalidInput: points outside the box, weights that are not positive, or shapes that differ.

    Source: Lou and Ermon 2023, arXiv 2304.04740; its code, cube.py in louaaron/Reflected-Diffusion,
    switches between the same two sums.
    """

    weights: Array
    points: Array

    def __post_init__(self) -> None:
        weights, points = np.asarray(self.weights), np.asarray(self.points)
        if points.ndim != 2 or weights.shape != points.shape[:1] or not len(points):
            raise InvalidInput(
                f"weights of shape {weights.shape} and points of shape {points.shape}; give (M,) "
                "and (M, width)."
            )
        if not (np.all(weights > 0) and np.all((points >= 0) & (points <= 1))):
            raise InvalidInput("reflected data takes weights above 0 and points in [0, 1].")

    def estimates(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """D and E, see the class; alpha must be 1."""
        if alpha != 1.0:
            raise InvalidInput(
                f"reflected data at alpha = {alpha:g}; the box stays where it is, so alpha is 1."
            )
        noise = -sigma * self.score(latent, sigma)
        return latent - sigma * noise, noise

    def sample(self, rng: np.random.Generator, count: int, sigma: float = 0.0) -> Array:
        """Draw `count` diffused points, flat, (count * width,)."""
        points = np.asarray(self.points, np.float64)
        weights = np.asarray(self.weights) / np.sum(self.weights)
        chosen = points[rng.choice(len(weights), count, p=weights)]
        return np.ravel(reflect(chosen + sigma * rng.standard_normal(chosen.shape)))

    def log_density(self, latent: Array, sigma: float) -> Array:
        """log p(x) of every point, (points,)."""
        exponent = self._components(latent, sigma)[0]
        most = exponent.max(axis=0)
        return np.asarray(most + np.log(np.exp(exponent - most).sum(axis=0)))

    def score(self, latent: Array, sigma: float) -> Array:
        """Derivative of `log_density` in x, shaped as the latent."""
        exponent, slopes = self._components(latent, sigma)
        shares = np.exp(exponent - exponent.max(axis=0))
        shares /= shares.sum(axis=0)
        return np.asarray((shares[:, :, None] * slopes).sum(axis=0).reshape(latent.shape))

    def _components(self, latent: Array, sigma: float) -> tuple[Array, Array]:
        """log(weight_m p(x | mean_m)), (M, points), and the kernel's slope, (M, points, width)."""
        points = np.asarray(self.points, np.float64)
        if latent.size % points.shape[1]:
            raise InvalidInput(
                f"a latent of {latent.size} elements is no whole number of points of "
                f"{points.shape[1]}."
            )
        log_density, slopes = heat_kernel(
            latent.reshape(-1, points.shape[1]), points[:, None], sigma
        )
        weights = np.log(np.asarray(self.weights, np.float64) / np.sum(self.weights))
        return weights[:, None] + log_density.sum(axis=2), slopes

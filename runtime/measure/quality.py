"""How much two pictures differ: PSNR, SSIM, largest difference; all in float64."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

WHITE = 255.0
WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two pictures, or several pairs of them.

    Args:
        psnr: in dB, infinite for equal pictures.
        ssim: mean structural similarity, 1 for equal pictures.
        largest: largest difference of two pixels, 0 .. 255.
    """

    psnr: float
    ssim: float
    largest: float

    def __str__(self) -> str:
        if self.largest == 0:
            return "equal pixel by pixel"
        figures = f"PSNR {self.psnr:.2f} dB, SSIM {self.ssim:.4f}"
        return f"{figures}, largest difference {self.largest:.0f}/255"


def difference(one: Pixels, other: Pixels) -> Difference:
    """Compare two pictures.

    Args:
        one: (H, W) or (H, W, C), uint8.
        other: of the same shape.

    Returns:
        Their difference.

    Raises:
        InvalidInput: different shapes, or no pixels.
    """
    if one.shape != other.shape or one.ndim not in (2, 3) or not one.size:
        raise InvalidInput(
            f"pictures of shapes {one.shape} and {other.shape} cannot be compared; they need the "
            "same size and channels."
        )
    first, second = (_channels(picture) for picture in (one, other))
    error = first - second
    return Difference(
        psnr=_psnr(float(np.mean(error**2))),
        ssim=float(np.mean([_ssim(a, b) for a, b in zip(first, second, strict=True)])),
        largest=float(np.abs(error).max()),
    )


def pooled(differences: list[Difference]) -> Difference:
    """Several pairs as one: PSNR of the mean squared error, mean SSIM, largest difference.

    Args:
        differences: of pictures of one size, at least one.
    """
    errors = [0.0 if each.psnr == inf else 10.0 ** (-each.psnr / 10.0) for each in differences]
    return Difference(
        psnr=_psnr(WHITE**2 * sum(errors) / len(errors)),
        ssim=sum(each.ssim for each in differences) / len(differences),
        largest=max(each.largest for each in differences),
    )


def _psnr(squared_error: float) -> float:
    """10 log10(255^2 / mean squared error)."""
    return inf if squared_error == 0.0 else 10.0 * log10(WHITE**2 / squared_error)


def _channels(picture: Pixels) -> Array:
    """A picture as (C, H, W)."""
    planes = picture[..., None] if picture.ndim == 2 else picture
    return np.moveaxis(planes.astype(np.float64), -1, 0)


def _ssim(x: Array, y: Array) -> float:
    """Mean structural similarity of two planes (H, W).

    (2 mx my + C1)(2 cxy + C2) / ((mx^2 + my^2 + C1)(vx + vy + C2)), moments weighted by a Gaussian
    window of 11 x 11 pixels and sigma 1.5, over the places where the window lies inside; a smaller
    picture gets the largest odd window that fits.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, Image Quality Assessment, equation 13.
    """
    weights = _window(min(WINDOW, *x.shape))
    mean_x, mean_y = _blurred(x, weights), _blurred(y, weights)
    var_x = _blurred(x * x, weights) - mean_x**2
    var_y = _blurred(y * y, weights) - mean_y**2
    covariance = _blurred(x * y, weights) - mean_x * mean_y
    c1, c2 = (K1 * WHITE) ** 2, (K2 * WHITE) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(np.mean(likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))))


def _window(size: int) -> Array:
    """Gaussian weights that sum to 1, an odd number of at most `size`."""
    radius = (size - 1) // 2
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2)
    return np.asarray(weights / weights.sum())


def _blurred(plane: Array, weights: Array) -> Array:
    """The plane weighted by the window along both axes, where the window lies inside."""
    rows = np.lib.stride_tricks.sliding_window_view(plane, len(weights), axis=0) @ weights
    return np.asarray(
        np.lib.stride_tricks.sliding_window_view(rows, len(weights), axis=1) @ weights
    )


def amplified(one: Pixels, other: Pixels, factor: int) -> Pixels:
    """What differs, made visible: factor * |one - other|, cut at white.

    Args:
        one: uint8.
        other: of the same shape.
        factor: how much larger a difference is shown.
    """
    error = np.abs(one.astype(np.int64) - other.astype(np.int64))
    return np.asarray(np.minimum(factor * error, int(WHITE)), np.uint8)

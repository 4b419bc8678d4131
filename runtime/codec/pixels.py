"""Between picture values and 8-bit pixels, rounded as everybody rounds them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.errors import InvalidInput

WHITE = 255


def pixel_values(values: NDArray[np.float32], picture: Picture) -> NDArray[np.uint8]:
    """Picture values as pixels.

    round(255 clip(scale x + shift, 0, 1)) in float32, with black at 0 and white at 1.

    Args:
        values: (images, C, H, W), finite.
        picture: values of black and white.

    Returns:
        (images, H, W, C), 0 .. 255.

    Source: diffusers, VaeImageProcessor.postprocess; bit for bit with -1 and 1.
    """
    scale = 1.0 / (picture.high - picture.low)
    unit = values.astype(np.float32) * np.float32(scale) + np.float32(-picture.low * scale)
    np.clip(unit, 0.0, 1.0, out=unit)
    unit *= np.float32(WHITE)
    pixels = np.rint(unit, out=unit).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def picture_values(pixels: NDArray[np.uint8], picture: Picture) -> NDArray[np.float32]:
    """Pixels as picture values, the way back: x / 255 (white - black) + black in float32.

    Args:
        pixels: (images, H, W, C).
        picture: values of black and white.

    Returns:
        (images, C, H, W).
    """
    unit = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(WHITE)
    values = unit * np.float32(picture.high - picture.low) + np.float32(picture.low)
    return np.ascontiguousarray(values)


def preview_pixels(
    latent: NDArray[np.float32], coder: Autoencoder, picture: Picture
) -> NDArray[np.uint8]:
    """A cheap look at a latent, one pixel per latent position, by the card's readout.

    picture_c = sum_k readout[c, k] latent_k + readout[c, C], without any network.

    Args:
        latent: (C, h, w), the clean estimate.
        coder: the card's autoencoder.
        picture: values of black and white.

    Returns:
        (h, w, channels), 0 .. 255; what is not finite is black.

    Raises:
        InvalidInput: the card has no readout.
    """
    if not coder.readout:
        raise InvalidInput("the card has no readout, so latents cannot be shown before decoding.")
    readout = np.array(coder.readout, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.tensordot(readout[:, :-1], latent, 1) + readout[:, -1, None, None]
    values[~np.isfinite(values)] = picture.low
    pixels: NDArray[np.uint8] = pixel_values(values[None], picture)[0]
    return pixels

"""Which part of a picture is painted anew: the mask of a request, at both sides of the autoencoder.

Source: diffusers, VaeImageProcessor (grey, 1 from 0.5 on) and its inpainting pipelines (to the
latent's size by the nearest pixel, which is the first of each block).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.solvers.inpainted import KEPT, MASK
from denoisert.runtime.values import numbers

if TYPE_CHECKING:
    from PIL.Image import Image

    MaskSource = Image | NDArray[Any]

WHITE = 255
HALF = 0.5


def read_mask(source: MaskSource, sizes: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    """A mask as truth values.

    Args:
        source: a PIL image, taken in grey, or (H, W): bool, uint8 up to 255, or float up to 1.
        sizes: (height, width) that it may have.

    Returns:
        (H, W), true where it is white, from the middle on.

    Raises:
        InvalidInput: another shape, or values that are no mask.
    """
    values = _grey(source)
    if values.shape not in sizes:
        wanted = " or ".join(f"{height}x{width}" for height, width in sizes)
        raise InvalidInput(
            f"the mask has the shape {values.shape}; it needs one value for each pixel, {wanted} "
            "(height x width). Scale or cut it to that size."
        )
    if not (values.min() >= 0 and values.max() <= 1):  # refuses NaN, too
        raise InvalidInput(
            "the mask has values outside 0 to 1. Pass a PIL image, truth values, uint8 up to 255 "
            "or floats up to 1."
        )
    white: NDArray[np.bool_] = values >= HALF
    return white


def latent_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """A mask at the size of a latent.

    Args:
        mask: (H, W), a whole multiple of the size.
        size: (h, w).

    Returns:
        (h, w), 1 where it is painted: the first pixel of each block decides.
    """
    steps = (mask.shape[0] // size[0], mask.shape[1] // size[1])
    return mask[:: steps[0], :: steps[1]].astype(np.float32)


def mask_pages(mask: NDArray[np.float32], layout: StateLayout) -> dict[str, NDArray[np.float32]]:
    """What a repainting solver reads of a mask.

    Args:
        mask: (h, w), 1 where it is painted.
        layout: of the state; what lies behind its first part is all painted.

    Returns:
        name -> (1, elements).
    """
    pages = np.ones((1, layout.elements), np.float32)
    part = layout.parts[0]
    pages[0, : part.elements] = np.broadcast_to(mask, part.shape).reshape(-1)
    return {MASK: pages, KEPT: 1 - pages}


def hide(
    values: NDArray[np.float32], mask: NDArray[np.bool_], picture: Picture
) -> NDArray[np.float32]:
    """A picture without what is painted anew, which becomes the grey between black and white.

    Args:
        values: (..., C, H, W) in the picture's values.
        mask: (H, W).
        picture: values of black and white.

    Returns:
        The same shape.
    """
    grey = np.float32((picture.low + picture.high) / 2)
    return np.where(mask, grey, values)


def _grey(source: MaskSource) -> NDArray[Any]:
    if not isinstance(source, np.ndarray):
        source = np.asarray(source.convert("L"))
    values = numbers(source, "the mask")
    if values.dtype == np.uint8:
        return values / np.float32(WHITE)
    return values.astype(np.float32) if values.dtype.kind == "b" else values

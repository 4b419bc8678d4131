"""What a request produced."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.errors import DenoiseRTError, InvalidInput
from denoisert.runtime.layout import StateLayout

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """Pictures of one request, or the error that ended it.

    Args:
        layout: shape of the state.
        picture: how the first part becomes pixels, or None.
        flat: (images, elements) final latents; empty when the request failed.
        phases: milliseconds by phase.
        nfe: network evaluations per picture.
        error: why it failed, or None.
    """

    layout: StateLayout
    picture: Picture | None
    flat: NDArray[np.float32]
    phases: dict[str, float] = field(default_factory=dict)
    nfe: int = 0
    error: DenoiseRTError | None = None

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Result(error={self.error!r})"
        return f"Result(images={len(self.flat)}, nfe={self.nfe})"

    @cached_property
    def latents(self) -> dict[str, NDArray[np.float32]]:
        """Every part of the state, (images, *shape) by name.

        Raises:
            DenoiseRTError: the request failed.
        """
        if self.error is not None:
            raise self.error
        count = len(self.flat)
        return {
            part.name: self.flat[:, first:last].reshape(count, *part.shape)
            for part, (first, last) in zip(self.layout.parts, self.layout.ranges, strict=True)
        }

    @cached_property
    def images(self) -> list[Image]:
        """The pictures as PIL images.

        Raises:
            DenoiseRTError: the request failed.
            InvalidInput: the model's latents are not pictures.
        """
        from PIL.Image import fromarray

        values = self.latents[self.layout.parts[0].name]
        if self.picture is None or values.ndim != 4 or values.shape[1] not in (1, 3):
            raise InvalidInput(
                f"latents of shape {values.shape} are not pictures by this card; use "
                "result.latents."
            )
        pixels = pixel_values(values, self.picture)
        return [fromarray(image[:, :, 0] if image.shape[2] == 1 else image) for image in pixels]


def pixel_values(values: NDArray[np.float32], picture: Picture) -> NDArray[np.uint8]:
    """Latents (images, C, H, W) as pixels (images, H, W, C), rounded to 0 .. 255."""
    unit = (values.astype(np.float64) - picture.low) / (picture.high - picture.low)
    pixels = np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))

"""What a request produced."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.codec.files import encode_picture
from denoisert.runtime.codec.pixels import pixel_values, preview_pixels
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
        notes: what the user should know, such as a prompt that was cut.
        pixels: decoded pictures, uint8 (images, H, W, C); None where the latents are the pictures.
        tapes: what the solver wrote down for each image, tapes[image][tape] of shape (pages,
            elements), as the solver's docstring says; () of a solver that writes none, and () in
            all when the request failed. Pages that no row wrote are 0.
    """

    layout: StateLayout
    picture: Picture | None
    flat: NDArray[np.float32]
    phases: dict[str, float] = field(default_factory=dict)
    nfe: int = 0
    error: DenoiseRTError | None = None
    notes: tuple[str, ...] = ()
    pixels: NDArray[np.uint8] | None = None
    tapes: tuple[tuple[NDArray[np.float32], ...], ...] = ()

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
        if self.pixels is not None:
            return [fromarray(image) for image in self.pixels]
        return _drawn(values, self.picture)

    def encode(self, format: str = "png", quality: int | None = None) -> list[bytes]:
        """The pictures as files in memory, encoded in the calling thread.

        Args:
            format: "png", "jpeg" or "webp".
            quality: see `encode_picture`.

        Returns:
            One file per picture.

        Raises:
            DenoiseRTError: the request failed.
            InvalidInput: the latents are not pictures, or the format or quality is unknown.
        """
        return [encode_picture(image, format, quality=quality) for image in self.images]


def preview_picture(
    card: Card, latent: NDArray[np.float32], layout: StateLayout | None = None
) -> Image:
    """A cheap look at a clean estimate: by the card's readout, or as it is where it is a picture.

    Args:
        card: of the model.
        latent: (elements,).
        layout: one of the card's; None for the first.

    Returns:
        One pixel per latent position.

    Raises:
        InvalidInput: the card says nothing about how such latents look.
    """
    from PIL.Image import fromarray

    part = (layout or card.layout).parts[0]
    values = latent[: part.elements].reshape(part.shape)
    if card.autoencoder is not None and card.picture is not None:
        return fromarray(preview_pixels(values, card.autoencoder, card.picture))
    return _drawn(values[None], card.picture)[0]


def _drawn(values: NDArray[np.float32], picture: Picture | None) -> list[Image]:
    """Latents that are pictures themselves, (images, C, H, W)."""
    from PIL.Image import fromarray

    if picture is None or values.ndim != 4 or values.shape[1] not in (1, 3):
        raise InvalidInput(
            f"latents of shape {values.shape} are not pictures by this card; use result.latents."
        )
    pixels = pixel_values(values, picture)
    return [fromarray(image[:, :, 0] if image.shape[2] == 1 else image) for image in pixels]

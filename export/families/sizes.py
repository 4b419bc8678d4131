"""Sizes of pictures and latents: those that the caller asks for, or that follow from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from denoisert.export.options import CompileOptions
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout

LARGEST_TILE: Final = 64
"""Positions of a latent along one axis that a decoder takes at once, unless asked otherwise."""

LATENT: Final = "latent"
"""The first part of every state, and the autoencoder's port."""

Size = tuple[int, int]
"""(height, width)."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one compilation.

    Args:
        latents: of the state, in its own positions; the first is the default.
        tile: the largest that decoder and encoder take, in latent positions.
        factor: pixels per latent position; 1 for models of pixels.
    """

    latents: tuple[Size, ...]
    tile: Size
    factor: int

    @property
    def latent(self) -> Size:
        """The default size, in latent positions."""
        return self.latents[0]

    @property
    def pixels(self) -> Size:
        """The default size of a picture."""
        return self.latent[0] * self.factor, self.latent[1] * self.factor

    def layouts(self, channels: int) -> tuple[StateLayout, ...]:
        """Layouts of a state of one part, the default first."""
        return tuple(StateLayout((Part(LATENT, (channels, *size)),)) for size in self.latents)


def find_sizes(trained: Size, factor: int, options: CompileOptions, *, multiple: int = 1) -> Sizes:
    """Sizes in latent positions.

    Args:
        trained: the latent that the model was trained at.
        factor: pixels per latent position.
        options: sizes of pictures instead of that, and the tile; by default all, at most 64.
        multiple: what a latent must be divisible by, such as the edge of a token.

    Raises:
        InvalidInput: a size that cannot be divided, or a tile larger than the latent.
    """
    latents = tuple(_latent(size, factor, multiple) for size in options.sizes) or (trained,)
    largest = (max(size[0] for size in latents), max(size[1] for size in latents))
    chosen = options.tile or (min(largest[0], LARGEST_TILE), min(largest[1], LARGEST_TILE))
    if min(chosen) < 1 or chosen[0] > largest[0] or chosen[1] > largest[1]:
        raise InvalidInput(f"a tile of {chosen} does not lie in a latent of {largest} positions.")
    return Sizes(latents, chosen, factor)


def _latent(size: Size, factor: int, multiple: int) -> Size:
    unit = factor * multiple
    if min(size) < 1 or size[0] % unit or size[1] % unit:
        raise InvalidInput(
            f"size {size[0]}x{size[1]} must be positive multiples of {unit} pixels, which is what "
            "the model divides a picture into."
        )
    return size[0] // factor, size[1] // factor

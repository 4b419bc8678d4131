"""How latents become pixels, and pixels latents."""

from __future__ import annotations

from dataclasses import dataclass

from denoisert.runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Picture:
    """Values of a picture: of the first part, or of the autoencoder's graphs where there is one.

    Args:
        low: value of black.
        high: value of white.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low == self.high:
            raise InvalidInput(f"black and white both lie at {self.low}; low and high must differ.")


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """The graphs between pictures and latents; scale and shift of the latents are inside them.

    `decoder` takes `latent`, float32 (lanes, C, *tile), and returns `picture`. `encoder` takes
    `picture`, float32 (lanes, channels, *tile * factor), and returns `mean` and `std` of the
    latent. Larger latents are cut into overlapping tiles. Where the card has several layouts, a
    tile is no larger than the latent, so that one which fits into a tile is decoded whole.

    Args:
        factor: pixels per latent position and axis.
        channels: of the picture.
        tile: (height, width) of the largest latents that the graphs take.
        overlap: share of a tile that is blended with its neighbour, in [0, 0.5].
        has_encoder: whether the bundle has the `encoder` graph.
        readout: a cheap preview: per picture channel, C weights and a bias that map a clean latent
            to picture values; empty when there is none.
    """

    factor: int
    channels: int
    tile: tuple[int, ...]
    overlap: float = 0.25
    has_encoder: bool = True
    readout: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.factor < 1 or self.channels < 1 or len(self.tile) != 2 or min(self.tile) < 1:
            raise InvalidInput(
                f"an autoencoder with factor {self.factor}, {self.channels} channels and tile "
                f"{self.tile}; factor and channels start at 1, a tile is (height, width)."
            )
        if not 0.0 <= self.overlap <= 0.5:
            raise InvalidInput(f"tiles overlap by {self.overlap}; give a share from 0 to 0.5.")
        if self.readout and len(self.readout) != self.channels:
            raise InvalidInput(
                f"the readout has {len(self.readout)} rows for {self.channels} picture channels."
            )

    def tile_at(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the tiles of a latent of this size: the tile, or less of it."""
        return min(self.tile[0], height), min(self.tile[1], width)

"""A large plane through a graph of fixed size: overlapping tiles, blended where they meet.

Tiles start every `tile - overlap` positions; the last one is moved back so that it ends with the
plane. A tile takes over from the one above it, then from the one to its left, linearly over the
overlap: nothing on its first row or column, everything after the overlap. Only the strips that
later tiles still blend with are kept, so memory does not grow with the plane's area.

Source: diffusers, AutoencoderKL.tiled_decode and tiled_encode, whose order of blending this is; it
lets the last tile be smaller instead of moving it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Call = Callable[[Array], Array]
Window = tuple[slice, slice]


class Piece(NamedTuple):
    """A finished part of one output plane.

    Args:
        image: which plane.
        window: its rows and columns there.
        values: (C, rows, columns).
    """

    image: int
    window: Window
    values: Array


@dataclass(frozen=True, slots=True)
class Tiles:
    """Where the tiles of a plane lie, in latent positions.

    Args:
        size: (height, width) of the plane, at least a tile.
        tile: (height, width) of a tile.
        overlap: positions that neighbouring tiles share, per axis; less than a tile.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    overlap: tuple[int, int]

    def starts(self, axis: int) -> tuple[int, ...]:
        """First row (axis 0) or column (axis 1) of every tile, ascending."""
        last = self.size[axis] - self.tile[axis]
        return (*range(0, last, self.tile[axis] - self.overlap[axis]), last)

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of every tile in the grid of tiles, row by row."""
        rows, columns = (range(len(self.starts(axis))) for axis in (0, 1))
        return tuple((row, column) for row in rows for column in columns)

    def window(self, place: tuple[int, int], scale: int) -> Window:
        """What a tile reads, in units of 1 / scale of a position."""
        first = [self.starts(axis)[place[axis]] * scale for axis in (0, 1)]
        rows, columns = (
            slice(start, start + size * scale) for start, size in zip(first, self.tile, strict=True)
        )
        return rows, columns

    def owned(self, place: tuple[int, int], axis: int) -> tuple[int, int]:
        """First and end of what a tile gives to the plane: up to the start of the next one."""
        edges = (*self.starts(axis), self.size[axis])
        return edges[place[axis]], edges[place[axis] + 1]


class Blend:
    """The tiles of planes, added plane by plane and row by row.

    Args:
        tiles: where they lie.
        scale: output values per position and axis.
    """

    def __init__(self, tiles: Tiles, scale: int) -> None:
        self._tiles = tiles
        self._scale = scale
        self._overlap = tuple(overlap * scale for overlap in tiles.overlap)
        self._above: dict[int, Array] = {}  # column -> last rows of the tile above
        self._left: Array | None = None

    def add(self, place: tuple[int, int], values: Array) -> tuple[Window, Array]:
        """Blend a tile with its neighbours and cut it where the next ones start.

        Args:
            place: (row, column), in the order of `Tiles.places`.
            values: (C, *tile * scale).

        Returns:
            Its window in the plane and the values there.
        """
        tile = values.copy()
        row, column = place
        if row > 0:
            _take_over(self._above[column], tile, axis=1)
        if column > 0 and self._left is not None:
            _take_over(self._left, tile, axis=2)
        window, cuts = [], []
        for axis in (0, 1):
            first, end = (edge * self._scale for edge in self._tiles.owned(place, axis))
            window.append(slice(first, end))
            cuts.append(end - first)
        height, width = cuts
        self._above[column] = tile[:, height : height + self._overlap[0]].copy()
        self._left = tile[:, :, width : width + self._overlap[1]].copy()
        return (window[0], window[1]), tile[:, :height, :width]


def run_tiles(
    planes: Array, tiles: Tiles, call: Call, *, lanes: int, scales: tuple[int, int]
) -> Iterator[Piece]:
    """Cut planes into tiles, call a graph on several at a time, and blend what comes back.

    Args:
        planes: (images, C, *size * scale).
        tiles: where the tiles of each plane lie.
        call: (n, C, *tile * scale) -> (n, C', *tile * scale), n up to `lanes`.
        lanes: most tiles per call.
        scales: values per latent position and axis, of what goes in and of what comes out.

    Yields:
        The pieces of every output plane, each value of it once.
    """
    wanted = product(range(len(planes)), tiles.places)
    blend = Blend(tiles, scales[1])
    while chunk := list(islice(wanted, lanes)):
        crops = [
            planes[(image, slice(None), *tiles.window(place, scales[0]))] for image, place in chunk
        ]
        for (image, place), values in zip(chunk, call(np.stack(crops)), strict=True):
            yield Piece(image, *blend.add(place, values))


def _take_over(before: Array, tile: Array, axis: int) -> None:
    """Fade the first rows or columns of a tile in over the last ones of its neighbour."""
    overlap = before.shape[axis]
    if overlap == 0:
        return
    shape = (1, overlap, 1) if axis == 1 else (1, 1, overlap)
    share = (np.arange(overlap, dtype=np.float32) / np.float32(overlap)).reshape(shape)
    begin = tile[:, :overlap] if axis == 1 else tile[:, :, :overlap]
    begin[...] = before * (np.float32(1.0) - share) + begin * share

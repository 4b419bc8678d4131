"""A contact sheet: pictures side by side, enlarged until a person can see them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isqrt
from typing import TYPE_CHECKING

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

GAP_PX = 2
SMALLEST_PX = 64
BACKGROUND = "white"


def sheet(cells: Sequence[Image | None], columns: int) -> Image:
    """Lay pictures out row by row.

    Every picture is enlarged by the same whole factor, without smoothing, until its shorter side
    has at least 64 px. Between two pictures lie 2 px.

    Args:
        cells: pictures of one size and mode; None leaves a place empty.
        columns: pictures in a row, at least 1.

    Returns:
        The sheet, in the mode of its pictures.

    Raises:
        InvalidInput: no picture at all, or pictures of different sizes.
    """
    from PIL import Image
    from PIL.Image import Resampling

    pictures = [cell for cell in cells if cell is not None]
    if len({(picture.size, picture.mode) for picture in pictures}) != 1 or columns < 1:
        raise InvalidInput(
            f"a sheet of {columns} columns needs pictures of one size and mode, found "
            f"{sorted({(picture.size, picture.mode) for picture in pictures})}."
        )
    factor = enlargement(pictures[0].size)
    width, height = (side * factor for side in pictures[0].size)
    rows = ceil(len(cells) / columns)
    size = (columns * (width + GAP_PX) - GAP_PX, rows * (height + GAP_PX) - GAP_PX)
    whole = Image.new(pictures[0].mode, size, BACKGROUND)
    for place, cell in enumerate(cells):
        if cell is not None:
            row, column = divmod(place, columns)
            corner = (column * (width + GAP_PX), row * (height + GAP_PX))
            whole.paste(cell.resize((width, height), Resampling.NEAREST), corner)
    return whole


def enlargement(size: tuple[int, int]) -> int:
    """The smallest whole factor that brings the shorter side to 64 px."""
    return ceil(SMALLEST_PX / min(size))


def near_square(count: int) -> int:
    """Columns that make `count` pictures about as wide as high, never higher than wide."""
    return isqrt(count - 1) + 1 if count > 0 else 1

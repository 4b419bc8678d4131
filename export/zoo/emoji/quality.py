"""The measure: how often the picture looks most like the glyph that was asked for.

A picture is reduced to 32x32 and compared with every glyph of the list as the autoencoder gives it
back; the glyph with the smallest mean squared error is the one that was drawn. Whoever drew the
picture, any runtime or precision, is measured alike: only pictures come in. The committed sheets
stand in for the font and for the autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.export.zoo.emoji.data import GLYPH_PX, load_glyphs
from denoisert.runtime.errors import InvalidInput

THUMBNAIL_PX: Final = 32
"""Edge at which pictures are compared."""

COLUMNS: Final = 20
"""Glyphs in one row of a sheet."""

CAPTIONS: Final = 200
"""Captions of the fixed measure."""

CAPTION_SEED: Final = 20240229
"""Seed of the permutation that picks them."""

ORIGINALS_FILE: Final = Path(__file__).with_name("glyphs.png")
"""Sheet of the 64x64 glyphs as the font draws them."""

THUMBNAILS_FILE: Final = Path(__file__).with_name("thumbnails.png")
"""Sheet of the 32x32 glyphs after the autoencoder."""


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of pictures, each in [0, 1].

    Args:
        top1: whose nearest glyph is the one asked for.
        top5: whose five nearest glyphs hold the one asked for.
    """

    top1: float
    top5: float


def score(
    pictures: NDArray[np.uint8],
    asked: NDArray[np.integer[Any]],
    thumbnails: NDArray[np.uint8] | None = None,
) -> Score:
    """Compare pictures with all glyphs.

    Args:
        pictures: (B, H, W, 3) uint8 RGB on white; H and W equal multiples of 32.
        asked: (B,) places in the list of the glyphs asked for.
        thumbnails: (glyphs, 32, 32, 3) uint8; None: the committed ones.

    Returns:
        The shares of pictures that look like their glyph.

    Raises:
        InvalidInput: if shapes do not fit or a place is outside the list.
    """
    known = read_sheet(THUMBNAILS_FILE, THUMBNAIL_PX) if thumbnails is None else thumbnails
    if asked.shape != pictures.shape[:1] or not len(asked):
        raise InvalidInput(
            f"asked has shape {asked.shape}; pass one place for each of {len(pictures)} pictures."
        )
    if asked.min() < 0 or asked.max() >= len(known):
        raise InvalidInput(f"asked holds a place outside the list; pass 0 to {len(known) - 1}.")
    ranks = ranking(pictures, known)
    hits = ranks[:, :5] == asked[:, None]
    return Score(top1=float(hits[:, 0].mean()), top5=float(hits.any(1).mean()))


def ranking(pictures: NDArray[np.uint8], thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Places of all glyphs (B, glyphs), the nearest first; of equal ones the first in the list."""
    seen = reduce(pictures).reshape(len(pictures), 1, -1)
    known = thumbnails.astype(np.float64).reshape(1, len(thumbnails), -1)
    errors = np.stack([((row - known[0]) ** 2).mean(-1) for row in seen])
    return np.argsort(errors, axis=1, kind="stable")


def reduce(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pictures (B, 32, 32, 3), each pixel the mean of the square it stands for.

    Raises:
        InvalidInput: if the pictures are not square RGB of a multiple of 32 pixels.
    """
    shape = pictures.shape
    fits = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    if not fits or shape[1] < THUMBNAIL_PX or shape[1] % THUMBNAIL_PX:
        raise InvalidInput(
            f"pictures have shape {shape}; pass (B, H, H, 3), H a multiple of {THUMBNAIL_PX}."
        )
    factor = shape[1] // THUMBNAIL_PX
    blocks = pictures.reshape(-1, THUMBNAIL_PX, factor, THUMBNAIL_PX, factor, 3)
    means: NDArray[np.float64] = blocks.mean((2, 4), dtype=np.float64)
    return means


def fixed_captions() -> NDArray[np.int64]:
    """Places in the list of the 200 captions of the fixed measure."""
    order = np.random.default_rng(CAPTION_SEED).permutation(len(load_glyphs()))
    return order[:CAPTIONS].astype(np.int64)


def shuffled(asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same places, each at another picture than its own: what a blind model would score."""
    return np.roll(asked, 1)


def reconstruction_error() -> float:
    """Mean squared error of the committed thumbnails against the glyphs at 32x32, pixels 0..1."""
    glyphs = reduce(read_sheet(ORIGINALS_FILE, GLYPH_PX))
    return float(((glyphs - read_sheet(THUMBNAILS_FILE, THUMBNAIL_PX)) ** 2).mean() / 255**2)


def read_sheet(path: Path, edge: int) -> NDArray[np.uint8]:
    """The pictures (glyphs, edge, edge, 3) of a sheet, row by row, as many as the list has."""
    from PIL import Image

    with Image.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB"))
    rows = sheet.reshape(len(sheet) // edge, edge, COLUMNS, edge, 3).swapaxes(1, 2)
    return rows.reshape(-1, edge, edge, 3)[: len(load_glyphs())]


def write_sheet(pictures: NDArray[np.uint8], path: Path) -> None:
    """Write pictures (B, edge, edge, 3) as one PNG, 20 in a row; the last row ends in white."""
    from PIL import Image

    count, edge = pictures.shape[:2]
    missing = -count % COLUMNS
    full = np.concatenate([pictures, np.full((missing, edge, edge, 3), 255, np.uint8)])
    rows = full.reshape(-1, COLUMNS, edge, edge, 3).swapaxes(1, 2)
    Image.fromarray(rows.reshape(-1, COLUMNS * edge, 3)).save(path, optimize=True)

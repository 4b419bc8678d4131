"""The glyphs: which emoji the model draws, their captions, and how the font renders them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

GLYPHS_FILE: Final = Path(__file__).with_name("glyphs.json")
"""Code point in hexadecimal -> caption, in the order of the code points."""

GLYPH_PX: Final = 64
"""Edge of a training picture."""

BITMAP_PX: Final = 109
"""The only size of the font's bitmaps, in pixels per em."""

CELL_PX: Final = (136, 128)
"""Width and height of a bitmap at that size."""

CANVAS_PX: Final = 160
"""Edge of the white square around a bitmap: room for shifts and turns."""

VIEW_PX: Final = 140
"""Edge of the part of the canvas that becomes the picture when nothing is shifted."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """One emoji.

    Args:
        code: code point, e.g. 0x2615.
        caption: its Unicode name in lower case, e.g. "hot beverage".
    """

    code: int
    caption: str


def load_glyphs(path: Path = GLYPHS_FILE) -> tuple[Glyph, ...]:
    """Read the committed list, in the order of the code points."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Glyph(int(code, 16), caption) for code, caption in entries.items())


def too_close(first: str, second: str) -> bool:
    """Whether two captions could be taken for one another.

    They share a word, and at most one word of either is not in the other: "cat face" and
    "dog face", "fire" and "fire engine".

    Args:
        first: caption, words separated by spaces.
        second: the other caption.
    """
    one, other = set(first.split()), set(second.split())
    return bool(one & other) and max(len(one - other), len(other - one)) <= 1


def close_pairs(captions: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs of captions that are too close; none in the committed list."""
    return [pair for pair in combinations(captions, 2) if too_close(*pair)]


def render(code: int, font: Path) -> NDArray[np.uint8]:
    """Draw one glyph in the middle of a white square.

    Args:
        code: code point.
        font: the file NotoColorEmoji.ttf, with bitmaps (CBDT).

    Returns:
        (160, 160, 3) uint8 RGB.
    """
    from PIL import Image, ImageDraw, ImageFont

    face = ImageFont.truetype(str(font), BITMAP_PX)
    canvas = Image.new("RGBA", (CANVAS_PX, CANVAS_PX), "white")
    corner = ((CANVAS_PX - CELL_PX[0]) // 2, (CANVAS_PX - CELL_PX[1]) // 2)
    pen = ImageDraw.Draw(canvas)
    pen.text(corner, chr(code), fill="black", font=face, embedded_color=True)
    return np.asarray(canvas.convert("RGB"))


@dataclass(frozen=True, slots=True)
class View:
    """Where the picture is cut out of the canvas.

    Args:
        scale: size of the glyph, 1 = as rendered.
        right_px: shift to the right, in pixels of the 64x64 picture.
        down_px: shift down, in pixels of the 64x64 picture.
        degrees: turn against the clock.
    """

    scale: float = 1.0
    right_px: float = 0.0
    down_px: float = 0.0
    degrees: float = 0.0


STRAIGHT: Final = View()
"""The glyph as it is rendered."""


def crop(canvas: NDArray[np.uint8], view: View = STRAIGHT) -> NDArray[np.uint8]:
    """Cut the picture out of the canvas and reduce it to 64x64.

    Args:
        canvas: (160, 160, 3) uint8, from `render`.
        view: shift, size and turn.

    Returns:
        (64, 64, 3) uint8 RGB on white.
    """
    from PIL import Image

    picture = Image.fromarray(canvas)
    if view.degrees:
        picture = picture.rotate(view.degrees, Image.Resampling.BICUBIC, fillcolor="white")
    edge = VIEW_PX / view.scale
    pitch = edge / GLYPH_PX
    left = (CANVAS_PX - edge) / 2 - view.right_px * pitch
    upper = (CANVAS_PX - edge) / 2 - view.down_px * pitch
    left, upper = (min(max(0.0, side), CANVAS_PX - edge) for side in (left, upper))
    box = (left, upper, left + edge, upper + edge)
    size = (GLYPH_PX, GLYPH_PX)
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=box))


def random_view(generator: np.random.Generator, strength: float = 1.0) -> View:
    """A small shift, change of size and turn.

    Args:
        generator: source of the four numbers.
        strength: 1 = up to 2 pixels, 6 % smaller or larger and 5 degrees.
    """
    right, down, scale, turn = generator.uniform(-strength, strength, 4)
    return View(1 + 0.06 * scale, 2 * right, 2 * down, 5 * turn)

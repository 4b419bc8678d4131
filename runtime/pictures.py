"""Pictures on disk: single files and a grid, each written whole or not at all."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

GAP_PX = 2
SMALLEST_PX = 64
SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")


def check_target(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file that could not be written, before work starts.

    Args:
        path: where it will go.
        suffixes: what its name may end with.

    Raises:
        InvalidInput: another suffix, no such folder, or no permission.
    """
    if path.suffix.lower() not in suffixes:
        raise InvalidInput(f"{path} must end with {' or '.join(suffixes)}.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise InvalidInput(f"{path} cannot be written: is {path.parent} a folder that you may use?")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place, then move it there.

    Args:
        path: where it goes; an older file is replaced.
        write: writes the content.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        with draft.open("wb") as file:
            write(file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def save(picture: Image, path: Path) -> None:
    """Write one picture in the format its name asks for."""
    kind = {".jpg": "jpeg"}.get(path.suffix.lower(), path.suffix.lower().removeprefix("."))
    write_whole(path, lambda file: picture.save(file, kind))


def grid(rows: Sequence[Sequence[Image]]) -> Image:
    """One picture of many: a row per request; a single column is folded near to a square.

    Args:
        rows: pictures of one size.

    Returns:
        The grid with gaps of 2 pixels, small pictures enlarged by whole factors.
    """
    from PIL import Image as pil

    if max(map(len, rows)) == 1:
        flat = [picture for row in rows for picture in row]
        width = math.ceil(math.sqrt(len(flat)))
        rows = [flat[start : start + width] for start in range(0, len(flat), width)]
    first = rows[0][0]
    factor = max(1, math.ceil(SMALLEST_PX / min(first.size)))
    wide, high = first.width * factor + GAP_PX, first.height * factor + GAP_PX
    sheet = pil.new(
        first.mode, (wide * max(map(len, rows)) - GAP_PX, high * len(rows) - GAP_PX), "white"
    )
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            size = (picture.width * factor, picture.height * factor)
            sheet.paste(picture.resize(size, pil.Resampling.NEAREST), (x * wide, y * high))
    return sheet

"""Pixels as picture files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITIES = {"png": (0, 9), "jpeg": (1, 100), "webp": (1, 100)}
DEFAULTS = {"png": 1, "jpeg": 95, "webp": 95}
MAX_KEY = 79  # characters, by the PNG specification


def encode_picture(
    picture: Image | NDArray[np.uint8],
    format: str,
    *,
    quality: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A picture as the bytes of a file.

    Args:
        picture: a PIL image, or uint8 (H, W, 3), (H, W, 1) or (H, W).
        format: "png", "jpeg" or "webp".
        quality: 1 .. 100 of a JPEG or WebP, by default 95; of a PNG, which loses nothing, the
            effort 0 .. 9 to make it small, by default 1.
        metadata: texts that a PNG carries, such as seed and bundle id.

    Returns:
        The file.

    Raises:
        InvalidInput: an unknown format, a quality outside its range, a picture that the format
            cannot hold, or metadata for another format than PNG.
    """
    from PIL.PngImagePlugin import PngInfo

    chosen = _quality(format, quality)
    if metadata and format != "png":
        raise InvalidInput(f"only a PNG carries metadata here, not {format!r}. Leave it out.")
    texts = PngInfo()
    for key, text in _texts(metadata or {}):
        texts.add_itxt(key, text)
    options: dict[str, Any] = {"quality": chosen}
    if format == "png":
        options = {"compress_level": chosen, "pnginfo": texts}
    file = io.BytesIO()
    try:
        _image(picture).save(file, format.upper(), **options)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the picture cannot be written as {format}: {error}") from error
    return file.getvalue()


def _image(picture: Image | NDArray[np.uint8]) -> Image:
    from PIL.Image import fromarray

    if not isinstance(picture, np.ndarray):
        return picture
    grey = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    if picture.dtype != np.uint8 or not (grey.ndim == 2 or grey.shape[2:] == (3,)):
        raise InvalidInput(f"a picture of {picture.dtype} {picture.shape}; pass uint8 (H, W, 3).")
    return fromarray(np.ascontiguousarray(grey))


def _quality(format: str, quality: int | None) -> int:
    if format not in QUALITIES:
        raise InvalidInput(f"format {format!r} is unknown; known are {', '.join(QUALITIES)}.")
    low, high = QUALITIES[format]
    chosen = DEFAULTS[format] if quality is None else quality
    is_whole = isinstance(chosen, int | np.integer) and not isinstance(chosen, bool)
    if not is_whole or not low <= chosen <= high:
        raise InvalidInput(f"quality {quality!r} is outside {low} to {high} of {format}.")
    return int(chosen)


def _texts(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """Metadata that a PNG can hold."""
    for key, text in metadata.items():
        is_key = 0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()
        if not is_key or key != key.strip() or not _is_text(text):
            raise InvalidInput(
                f"metadata {key!r}: a name has 1 to {MAX_KEY} ASCII characters and no spaces "
                "around it, a text is a str without NUL and lone surrogates."
            )
    return list(metadata.items())


def _is_text(text: object) -> bool:
    if not isinstance(text, str) or "\0" in text:
        return False
    return text == text.encode("utf-8", "replace").decode()  # a lone surrogate becomes "?"

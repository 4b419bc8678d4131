"""Picture files and PIL images as pixels.

Files come from strangers, so limits come first: the encoded bytes before they are read, the size in
the header before anything is decoded. Pillow's own switches are never touched.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

    PictureSource = str | Path | bytes | Image | NDArray[np.uint8]

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 4096 * 4096
FORMATS = ("PNG", "JPEG", "WEBP")
CAMERA = "MPO"  # a camera's JPEG, which carries previews behind the picture itself
ORIENTATION = 0x0112  # the EXIF tag
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# What Pillow raises for a damaged file; Warning for those who turn warnings into errors.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Warning)


def load_picture(source: PictureSource) -> NDArray[np.uint8]:
    """A picture as upright RGB pixels.

    The EXIF orientation is applied, transparency is laid on white, 16 bits become the upper 8,
    CMYK and grey become RGB. Colour profiles are ignored.

    Args:
        source: path or bytes of a PNG, JPEG or WebP file, a PIL image, or uint8 (H, W, 3); at most
            64 MiB encoded and 4096 x 4096 pixels.

    Returns:
        (H, W, 3), a copy.

    Raises:
        InvalidInput: too large, animated, damaged, cut short, of another format, or a URL.
    """
    from PIL import Image  # only once a picture is wanted

    if isinstance(source, np.ndarray):
        return _checked(source)
    if isinstance(source, Image.Image):
        with _reading():
            return _pixels(source)
    content = _content(source)
    with _reading(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return _pixels(image)


def _checked(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise InvalidInput(f"a picture of {array.dtype} {array.shape}; pass uint8 (H, W, 3).")
    _check_size(array.shape[1], array.shape[0])
    return np.array(array, order="C")


def _content(source: object) -> bytes:
    """The encoded bytes, of which at most the limit + 1 are read."""
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source[: MAX_BYTES + 1])
    elif isinstance(source, str | Path):
        content = _read(source)
    else:
        raise InvalidInput(
            f"a picture cannot be made of {type(source).__name__}; pass a path, bytes, a PIL "
            "image or uint8 (H, W, 3)."
        )
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"the picture file has more than {MAX_BYTES} bytes; scale it down.")
    return content


def _read(path: str | Path) -> bytes:
    text = str(path)
    if isinstance(path, str) and ("://" in text or text.startswith("data:")):
        raise InvalidInput("pictures are not fetched from URLs. Fetch it and pass its bytes.")
    try:
        with open(path, "rb", opener=_open_now) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidInput(f"{text!r} is no regular file.")
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"the picture {text!r} cannot be read: {error}") from error


def _open_now(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not block


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what Pillow raises for a damaged or hostile file into an error of ours."""
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    try:
        yield
    except InvalidInput:
        raise
    except (DecompressionBombError, DecompressionBombWarning) as error:
        raise InvalidInput(
            f"the picture is far larger than {MAX_PIXELS} pixels; scale it down."
        ) from error
    except DAMAGE as error:
        raise InvalidInput(
            f"the picture cannot be decoded: {error}. Pass a complete PNG, JPEG or WebP file."
        ) from error


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise InvalidInput(
            f"the picture has {width}x{height} pixels; from 1 to {MAX_PIXELS} are taken."
        )


def _pixels(image: Image) -> NDArray[np.uint8]:
    """Decode an opened image after its header was checked."""
    _check_size(*image.size)
    frames = getattr(image, "n_frames", 1)
    if frames != 1 and image.format != CAMERA:
        raise InvalidInput(f"the picture is animated, {frames} frames; pass one of them.")
    image.load()
    upright = _upright(_flat(image), image.getexif().get(ORIENTATION, 1))
    return np.array(upright.convert("RGB"))


def _flat(image: Image) -> Image:
    """The image in 8 bits and without transparency, which is laid on white."""
    from PIL.Image import alpha_composite, fromarray, new

    if image.mode in WIDE_MODES:
        wide = np.asarray(image).astype(np.int64)
        return fromarray((np.clip(wide, 0, 0xFFFF) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    seen = image.convert("RGBA")
    white = new("RGBA", seen.size, "white")
    return alpha_composite(white, seen)


def _upright(image: Image, orientation: object) -> Image:
    """The image as its camera was held.

    Source: EXIF 2.32, tag Orientation: 2 to 8 say how the rows and columns are stored.
    """
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if not isinstance(orientation, int) or orientation not in turns:
        return image
    return image.transpose(turns[orientation])

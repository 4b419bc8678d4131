"""Small picture files, honest ones and bombs."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

BOX = (6, 5)  # width, height


def noise(seed: int = 0, channels: int = 3) -> np.ndarray:
    shape = (BOX[1], BOX[0], channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, bits: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def bits_png(width: int, height: int) -> bytes:
    """A complete black picture of one bit per pixel."""
    return png(width, height, bytes(height * (1 + -(-width // 8))), bits=1, colour=0)


RGB = Image.fromarray(noise())

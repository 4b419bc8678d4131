"""Pictures of strangers: what is too large, damaged or no picture is refused before it costs."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from denoisert.runtime.codec.pictures import MAX_BYTES, load_picture
from denoisert.runtime.errors import InvalidInput
from tests.runtime.codec.picture_files import RGB, bits_png, chunk, noise, png, saved


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_refused(format: str) -> None:
    frames = [Image.fromarray(noise(seed)) for seed in range(3)]
    content = saved(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(InvalidInput, match="animated, 3 frames"):
        load_picture(content)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_not_even_tried(format: str) -> None:
    with pytest.raises(InvalidInput, match="PNG, JPEG or WebP"):
        load_picture(saved(RGB, format))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_refused(format: str, share: float) -> None:
    large = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(large), format)
    with pytest.raises(InvalidInput):
        load_picture(content[: int(len(content) * share)])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "MPO"])
def test_flipped_bits_give_a_picture_or_our_error(format: str) -> None:
    """1,600 damaged files; half of the damage is in the first 64 bytes."""
    rng = np.random.default_rng(len(format) * 1000 + ord(format[0]))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    content = saved(RGB, format, exif=exif)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for reach in rng.choice([64, len(content)], rng.integers(1, 5)):
            damaged[rng.integers(min(reach, len(content)))] = rng.integers(256)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert load_picture(bytes(damaged)).shape[2] == 3
        except InvalidInput:
            refused += 1
    assert refused > 20


def test_warnings_that_are_errors_stay_in_our_tree() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(RGB, "PNG", exif=exif)
    start = content.index(b"eXIf") - 4
    data = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06"  # cut inside its entry
    end = start + 12 + struct.unpack(">I", content[start : start + 4])[0]
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        load_picture(content[:start] + chunk(b"eXIf", data) + content[end:])


def test_what_follows_a_picture_is_not_looked_at() -> None:
    np.testing.assert_array_equal(load_picture(saved(RGB) + b"PK\x03\x04<script>"), noise())


@pytest.mark.parametrize("size", [(4097, 4096), (1, 4096 * 4096 + 1), (20_000, 20_000)])
def test_the_header_is_checked_before_anything_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match=r"pixels|larger"):
        load_picture(png(*size, b""))


def test_the_largest_picture_is_taken() -> None:
    assert load_picture(bits_png(4096, 4096)).shape == (4096, 4096, 3)


def test_large_images_and_arrays_are_refused_too() -> None:
    image = Image.new("1", (4097, 4096))
    array = np.broadcast_to(np.uint8(0), (4097, 4096, 3))
    for source in (image, array):
        with pytest.raises(InvalidInput, match=r"4096x4097|4097x4096"):
            load_picture(source)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0x5 pixels"):
        load_picture(Image.new("RGB", (0, 5)))


BOMB = """
import resource, sys
from denoisert.runtime.codec.pictures import load_picture
from denoisert.runtime.errors import InvalidInput
from PIL import Image, PngImagePlugin, JpegImagePlugin, WebPImagePlugin
before = Image.MAX_IMAGE_PIXELS
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 100 * 2**20,) * 2)
try:
    load_picture(sys.stdin.buffer.read())
except InvalidInput as error:
    print(error)
assert Image.MAX_IMAGE_PIXELS == before
"""


@pytest.mark.parametrize("side", [5_000, 20_000])
def test_a_bomb_is_refused_within_100_megabytes(side: int) -> None:
    """400 million pixels in 50 kB; decoding them as RGB would take 1.2 GB."""
    bomb = bits_png(side, side)
    assert len(bomb) < 60_000
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BOMB], input=bomb, capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"pixels" in done.stdout


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(saved(RGB))
        file.truncate(MAX_BYTES + 1)
    for source in (path, memoryview(bytes(MAX_BYTES + 1))):
        with pytest.raises(InvalidInput, match=f"more than {MAX_BYTES} bytes"):
            load_picture(source)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "http://[::1]/",
        "file:///etc/hostname",
        "data:image/png;base64,",
    ],
)
def test_urls_are_not_fetched(url: str) -> None:
    with pytest.raises(InvalidInput, match="not fetched"):
        load_picture(url)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "missing.png", Path("/dev/zero"), "a\0b"):
        with pytest.raises(InvalidInput, match=r"cannot be read|no regular file"):
            load_picture(place)


@pytest.mark.parametrize("source", [None, 3, 1.5, [noise()], {"path": "a.png"}, io.BytesIO()])
def test_other_things_are_no_pictures(source: object) -> None:
    with pytest.raises(InvalidInput, match="cannot be made of"):
        load_picture(source)  # type: ignore[arg-type]


def test_a_closed_image_says_so(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    RGB.save(path)
    image = Image.open(path)
    image.close()
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        load_picture(image)

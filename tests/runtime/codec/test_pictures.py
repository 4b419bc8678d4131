"""Pictures of every kind that is meant become upright RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime.codec.pictures import load_picture
from denoisert.runtime.errors import InvalidInput
from tests.runtime.codec.picture_files import BOX, RGB, noise, png, saved


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_bytes_of_every_kind_of_buffer(format: str) -> None:
    content = saved(RGB, format, lossless=True)
    for buffer in (content, bytearray(content), memoryview(content)):
        np.testing.assert_array_equal(load_picture(buffer), noise())


def test_a_jpeg_is_close() -> None:
    flat = Image.new("RGB", BOX, (200, 100, 50))
    found = load_picture(saved(flat, "JPEG", quality=95)).astype(int)
    assert np.abs(found - np.asarray(flat)).max() <= 3


def test_paths_as_text_and_as_paths(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    RGB.save(path)
    for place in (path, str(path)):
        np.testing.assert_array_equal(load_picture(place), noise())


def test_images_and_arrays_are_copied_and_left_alone() -> None:
    array, image = noise(), Image.fromarray(noise())
    for source in (array, image, array[::-1][::-1]):
        found = load_picture(source)
        assert found.flags.c_contiguous
        found[:] = 0
    np.testing.assert_array_equal(array, noise())
    np.testing.assert_array_equal(np.asarray(image), noise())


@pytest.mark.parametrize(
    "array",
    [noise().astype(np.float32), noise()[:, :, 0], noise(0, 4), noise()[:0], np.zeros(3, np.uint8)],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="picture"):
        load_picture(array)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "HSV"])
def test_modes_become_rgb_as_pillow_converts_them(mode: str) -> None:
    image = RGB.convert(mode)
    np.testing.assert_array_equal(load_picture(image), np.asarray(image.convert("RGB")))


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    """Adobe writes CMYK inverted; both kinds must come out the right way round."""
    flat = Image.new("RGB", (16, 16), (220, 40, 30)).convert("CMYK")
    found = load_picture(saved(flat, "JPEG", quality=95))
    assert np.abs(found[8, 8].astype(int) - (220, 40, 30)).max() <= 6


def test_transparency_lies_on_white() -> None:
    pixels = noise(1, 4)
    pixels[0, 0, 3], pixels[0, 1, 3], pixels[0, 2, 3] = 0, 255, 128
    found = load_picture(saved(Image.fromarray(pixels))).astype(float)
    share = pixels[:, :, 3:] / 255.0
    wanted = pixels[:, :, :3] * share + 255.0 * (1 - share)
    assert np.abs(found - wanted).max() <= 1
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 1].tolist() == pixels[0, 1, :3].tolist()


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_colour_that_means_transparent_becomes_white(mode: str) -> None:
    image = RGB.quantize(8) if mode == "P" else RGB.convert(mode)
    first = image.getpixel((0, 0))
    found = load_picture(saved(image, transparency=first))
    plain = load_picture(saved(image))
    hidden = (np.asarray(image).reshape(BOX[1], BOX[0], -1) == first).all(2)
    assert hidden[0, 0]
    assert (found[hidden] == 255).all()
    np.testing.assert_array_equal(found[~hidden], plain[~hidden])


@pytest.mark.parametrize("mode", ["LA", "RGBa", "PA"])
def test_other_modes_with_alpha(mode: str) -> None:
    image = Image.fromarray(np.stack([noise()[..., 0], np.full(BOX[::-1], 0, np.uint8)], -1), "LA")
    if mode != "LA":
        image = image.convert("RGBA").convert(mode)
    assert (load_picture(image) == 255).all()


def test_sixteen_bits_become_the_upper_eight() -> None:
    wide = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    content = saved(Image.fromarray(wide))
    assert load_picture(content)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    rows = b"\0" + wide.astype(">u2").repeat(3).tobytes()
    colour = load_picture(png(5, 1, rows, bits=16))
    assert colour[0, :, 2].tolist() == [0, 0, 1, 128, 255]
    assert load_picture(Image.fromarray(wide.astype(np.int32)))[0, :, 0].tolist() == [
        *(0, 0, 1, 128, 255)
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_the_camera_s_orientation_is_undone(orientation: int, format: str) -> None:
    """What is stored, by EXIF 2.32: the side on which row 0 and column 0 are seen."""
    upright = noise(2)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    np.testing.assert_array_equal(
        load_picture(saved(image, format, exif=exif, lossless=True)), upright
    )


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_without_meaning_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(load_picture(saved(RGB, exif=exif)), noise())


def test_a_camera_s_previews_are_no_animation() -> None:
    flat = Image.new("RGB", (16, 16), (10, 200, 90))
    content = saved(
        flat, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95
    )
    found = load_picture(content)
    assert found.shape == (16, 16, 3)
    assert np.abs(found[8, 8].astype(int) - (10, 200, 90)).max() <= 3

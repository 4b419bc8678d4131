"""Pixels as files that everybody can read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime.codec.files import QUALITIES, encode_picture
from denoisert.runtime.codec.pictures import load_picture
from denoisert.runtime.errors import InvalidInput


def smooth(height: int = 48, width: int = 40) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / 40.0
    planes = [np.sin(3 * x + y), np.cos(2 * y), np.sin(x * y)]
    return ((np.stack(planes, -1) + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize("quality", [None, 0, 9])
def test_a_png_loses_nothing(quality: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (17, 31, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        load_picture(encode_picture(noise, "png", quality=quality)), noise
    )


def test_a_png_is_smaller_with_more_effort() -> None:
    sizes = [len(encode_picture(smooth(), "png", quality=level)) for level in (0, 1, 9)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(encode_picture(smooth(), "png")) == sizes[1]


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_lossy_file_is_close_and_smaller_at_less_quality(format: str) -> None:
    files = {quality: encode_picture(smooth(), format, quality=quality) for quality in (20, 95)}
    assert len(files[20]) < len(files[95])
    assert files[95] == encode_picture(smooth(), format)
    for content in files.values():
        difference = load_picture(content).astype(int) - smooth()
        assert np.sqrt((difference**2).mean()) < 12


@pytest.mark.parametrize("format", QUALITIES)
def test_pil_images_and_arrays_make_the_same_file(format: str) -> None:
    image = Image.fromarray(smooth())
    assert encode_picture(image, format) == encode_picture(smooth(), format)
    assert Image.open(io.BytesIO(encode_picture(image, format))).format == format.upper()


def test_grey_pictures_stay_grey() -> None:
    grey = smooth()[:, :, :1]
    for array in (grey, grey[:, :, 0]):
        opened = Image.open(io.BytesIO(encode_picture(array, "png")))
        assert opened.mode == "L"
        np.testing.assert_array_equal(np.asarray(opened), grey[:, :, 0])


def test_views_of_arrays_are_written_as_they_look() -> None:
    turned = smooth()[::-1, ::2]
    np.testing.assert_array_equal(load_picture(encode_picture(turned, "png")), turned)


def test_a_png_carries_texts() -> None:
    metadata = {"seed": "18446744073709551615", "bundle": "ab" * 32, "note": "Äpfel, 林檎\nred"}
    opened = Image.open(io.BytesIO(encode_picture(smooth(), "png", metadata=metadata)))
    assert opened.text == metadata


def test_equal_pictures_make_equal_files() -> None:
    one, two = (encode_picture(smooth(), "png", metadata={"seed": "7"}) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    "metadata",
    [
        {"": "x"},
        {"k" * 80: "x"},
        {"ü": "x"},
        {" seed": "x"},
        {"se\ned": "x"},
        {"seed": "a\0b"},
        {"seed": "\ud800"},
        {"seed": 7},
    ],
    ids=repr,
)
def test_texts_that_a_png_cannot_hold(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="metadata"):
        encode_picture(smooth(), "png", metadata=metadata)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_texts_are_never_dropped_silently(format: str) -> None:
    with pytest.raises(InvalidInput, match="only a PNG carries metadata"):
        encode_picture(smooth(), format, metadata={"seed": "7"})
    assert encode_picture(smooth(), format, metadata={})


@pytest.mark.parametrize("format", ["PNG", "gif", "jpg", "", None, 3])
def test_unknown_formats_are_answered_with_the_known_ones(format: object) -> None:
    with pytest.raises(InvalidInput, match="png, jpeg, webp"):
        encode_picture(smooth(), format)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("format", "quality"),
    [("png", 10), ("png", -1), ("jpeg", 0), ("jpeg", 101), ("webp", 95.0), ("webp", True)],
)
def test_qualities_outside_their_range(format: str, quality: int) -> None:
    with pytest.raises(InvalidInput, match=rf"outside \d to \d+ of {format}"):
        encode_picture(smooth(), format, quality=quality)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_that_are_no_pictures(picture: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="pass uint8"):
        encode_picture(picture, "png")


def test_a_picture_that_a_format_cannot_hold() -> None:
    with pytest.raises(InvalidInput, match="cannot be written as webp"):
        encode_picture(np.zeros((1, 20_000, 3), np.uint8), "webp")
    with pytest.raises(InvalidInput, match="cannot be written as jpeg"):
        encode_picture(Image.new("RGBA", (4, 4)), "jpeg")

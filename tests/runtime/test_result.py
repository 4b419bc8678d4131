"""What a request produced: latents by part, pictures, or one error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.codec.pixels import pixel_values
from denoisert.runtime.errors import InvalidInput, NonFinite
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.result import Result

GREY = StateLayout((Part("latent", (1, 4, 6)),))
COLOUR = StateLayout((Part("latent", (3, 5, 4)),))


PICTURE = Picture()


def result(layout: StateLayout, count: int, picture: Picture | None = PICTURE) -> Result:
    generator = np.random.default_rng(3)
    flat = generator.uniform(-1.2, 1.2, (count, layout.elements)).astype(np.float32)
    return Result(layout, picture, flat, {"ticks": 1.0}, nfe=50)


def test_latents_have_the_shape_of_their_part() -> None:
    layout = StateLayout((Part("image", (2, 3, 3)), Part("sound", (7,))))
    made = result(layout, 4)
    assert made.latents["image"].shape == (4, 2, 3, 3)
    assert made.latents["sound"].shape == (4, 7)
    np.testing.assert_array_equal(made.latents["sound"], made.flat[:, 18:])


def test_grey_and_colour_pictures() -> None:
    grey, colour = result(GREY, 2).images, result(COLOUR, 3).images
    assert [(image.mode, image.size) for image in grey] == [("L", (6, 4))] * 2
    assert [(image.mode, image.size) for image in colour] == [("RGB", (4, 5))] * 3


def test_pixels_are_rounded_and_clipped() -> None:
    values = np.array([-2.0, -1.0, -0.5, 0.0, 0.999, 1.0, 3.0], np.float32).reshape(1, 1, 1, 7)
    assert pixel_values(values, Picture()).reshape(-1).tolist() == [0, 0, 64, 128, 255, 255, 255]


def test_the_range_of_the_card_decides_black_and_white() -> None:
    values = np.array([0.0, 0.5, 1.0], np.float32).reshape(1, 1, 1, 3)
    assert pixel_values(values, Picture(0.0, 1.0)).reshape(-1).tolist() == [0, 128, 255]


def test_channels_become_colours() -> None:
    values = np.full((1, 3, 2, 2), -1.0, np.float32)
    values[0, 1] = 1.0
    picture = result(COLOUR, 1)
    assert picture.images[0].size == (4, 5)
    assert pixel_values(values, Picture())[0, 0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    "layout", [StateLayout((Part("v", (8,)),)), StateLayout((Part("v", (4, 2, 2)),))]
)
def test_latents_that_are_no_pictures_say_so(layout: StateLayout) -> None:
    made = result(layout, 1)
    with pytest.raises(InvalidInput, match=r"use result\.latents"):
        _ = made.images


def test_a_card_without_pictures_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"use result\.latents"):
        _ = result(GREY, 1, None).images


def test_a_failed_result_raises_its_own_error() -> None:
    error = NonFinite("picture 0 became NaN")
    failed = Result(GREY, Picture(), np.zeros((0, 24), np.float32), error=error)
    for name in ("images", "latents"):
        with pytest.raises(NonFinite) as caught:
            getattr(failed, name)
        assert caught.value is error
    assert "NaN" in repr(failed)


def test_tapes_are_kept_by_image_and_a_failed_result_has_none() -> None:
    assert result(GREY, 2).tapes == ()
    tapes = tuple((np.full((3, 24), image, np.float32),) for image in range(2))
    made = replace(result(GREY, 2), tapes=tapes)
    assert [tape.shape for image in made.tapes for tape in image] == [(3, 24)] * 2
    assert made.tapes[1][0].max() == 1.0
    error = NonFinite("picture 0 became NaN")
    assert Result(GREY, PICTURE, np.zeros((0, 24), np.float32), error=error).tapes == ()


def test_repr_counts_pictures_and_evaluations() -> None:
    assert repr(result(GREY, 2)) == "Result(images=2, nfe=50)"

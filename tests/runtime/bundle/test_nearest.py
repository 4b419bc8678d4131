"""A size that was not compiled: what is near, and what to do."""

import pytest

from denoisert.runtime.bundle.nearest import check_size, compiled_sizes, nearest_sizes
from denoisert.runtime.errors import OutOfProfile
from denoisert.runtime.layout import Part, StateLayout
from tests.runtime.networks import perceptron
from tests.runtime.sized import sized_card

FEW = sized_card((64, 64), (64, 96), (96, 64))
MANY = sized_card(*((height, width) for height in (16, 32, 64) for width in (16, 32, 64)))


@pytest.mark.parametrize("size", [None, (64, 64), (96, 64), [64, 96]])
def test_a_compiled_size_passes(size):
    check_size(FEW, size)


def test_the_default_comes_first():
    assert compiled_sizes(FEW) == ((64, 64), (64, 96), (96, 64))
    assert len(compiled_sizes(MANY)) == 9


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((64, 65), (64, 64)),
        ((64, 90), (64, 96)),
        ((200, 64), (96, 64)),
        ((1, 1), (64, 64)),
        ((0, 96), (64, 96)),
        ((768, 1344), (64, 96)),
    ],
)
def test_nearness_is_by_ratios(size, nearest):
    assert nearest_sizes(FEW, size)[0] == nearest


def test_a_refusal_names_all_of_a_few():
    with pytest.raises(OutOfProfile) as caught:
        check_size(FEW, (96, 96))
    assert str(caught.value) == (
        "size 96x96 asked for, the bundle is compiled for 64x64, 64x96 and 96x64. Take 64x96, the "
        "nearest, or compile the model for it, too: denoisert compile MODEL -o NEW.bundle --size "
        "64x64,64x96,96x64,96x96"
    )


def test_a_refusal_names_the_nearest_of_many():
    with pytest.raises(OutOfProfile) as caught:
        check_size(MANY, (30, 60))
    text = str(caught.value)
    assert "compiled for 9 sizes, of which 32x64, 16x64, 32x32, 64x64 are the nearest" in text
    assert text.endswith("--size 16x16,...,30x60")


def test_a_state_without_pixels_has_no_sizes():
    card = perceptron(layout=StateLayout((Part("latent", (8,)),))).card()
    assert compiled_sizes(card) == ()
    check_size(card, None)
    with pytest.raises(OutOfProfile, match=r"1x8 asked for.*state of shape \(8,\). Leave the size"):
        check_size(card, (1, 8))

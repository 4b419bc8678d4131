"""What a card says about its autoencoder."""

from __future__ import annotations

import pytest

from denoisert.runtime.codec.coder import CALL_PIXELS, Coder
from denoisert.runtime.errors import InvalidInput
from tests.runtime.coders import CHANNELS, FACTOR, coder_card
from tests.runtime.networks import perceptron


def test_shapes_on_both_sides() -> None:
    coder = Coder.of(coder_card((8, 12), (4, 6)))
    assert coder.shape == (CHANNELS, 8, 12)
    assert coder.picture_shape == (8 * FACTOR, 12 * FACTOR, 3)


@pytest.mark.parametrize(("overlap", "shared"), [(0.0, (0, 0)), (0.25, (1, 2)), (0.5, (2, 4))])
def test_overlap_is_a_share_of_the_tile(overlap: float, shared: tuple[int, int]) -> None:
    tiles = Coder.of(coder_card((8, 12), (4, 8), overlap)).tiles(8, 12)
    assert (tiles.size, tiles.tile, tiles.overlap) == ((8, 12), (4, 8), shared)


def test_a_tile_of_one_position_can_overlap_with_nothing() -> None:
    tiles = Coder.of(coder_card((3, 3), (1, 1), 0.5)).tiles(3, 3)
    assert tiles.starts(0) == (0, 1, 2)


@pytest.mark.parametrize(("factor", "lanes"), [(1, CALL_PIXELS // 16), (64, 4), (128, 1), (512, 1)])
def test_a_call_has_so_many_pixels_that_memory_stays_bounded(factor: int, lanes: int) -> None:
    assert Coder.of(coder_card((4, 4), (4, 4), factor=factor)).lanes == lanes


def test_a_card_without_autoencoder_says_so() -> None:
    with pytest.raises(InvalidInput, match="toy has no autoencoder"):
        Coder.of(perceptron().card())

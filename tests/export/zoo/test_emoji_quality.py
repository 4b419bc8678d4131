"""The measure: perfect pictures, shuffled ones, blank ones, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.export.zoo.emoji.data import GLYPH_PX, load_glyphs
from denoisert.export.zoo.emoji.quality import (
    CAPTIONS,
    ORIGINALS_FILE,
    THUMBNAIL_PX,
    THUMBNAILS_FILE,
    Score,
    fixed_captions,
    ranking,
    read_sheet,
    reconstruction_error,
    reduce,
    score,
    shuffled,
    write_sheet,
)
from denoisert.runtime.errors import InvalidInput


@pytest.fixture(scope="module")
def glyphs() -> np.ndarray:
    return read_sheet(ORIGINALS_FILE, GLYPH_PX)


@pytest.fixture(scope="module")
def thumbnails() -> np.ndarray:
    return read_sheet(THUMBNAILS_FILE, THUMBNAIL_PX)


class TestScore:
    def test_the_glyphs_themselves_score_everything(self, glyphs):
        asked = fixed_captions()
        assert score(glyphs[asked], asked) == Score(top1=1.0, top5=1.0)

    def test_shuffled_captions_score_next_to_nothing(self, glyphs):
        asked = fixed_captions()
        blind = score(glyphs[asked], shuffled(asked))
        assert blind.top1 == 0.0
        assert blind.top5 < 0.1

    def test_blank_paper_and_noise_score_next_to_nothing(self):
        asked = fixed_captions()
        shape = (len(asked), GLYPH_PX, GLYPH_PX, 3)
        noise = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
        for pictures in (np.full(shape, 255, np.uint8), noise):
            assert score(pictures, asked).top1 <= 1 / CAPTIONS
            assert score(pictures, asked).top5 <= 5 / CAPTIONS

    def test_half_right_pictures_score_half(self, glyphs):
        asked = fixed_captions()
        pictures = glyphs[asked].copy()
        pictures[::2] = glyphs[shuffled(asked)][::2]
        assert score(pictures, asked).top1 == 0.5

    def test_faint_noise_and_a_shift_of_one_pixel_are_forgiven(self, glyphs):
        asked = fixed_captions()
        noise = np.random.default_rng(4).normal(0, 20, glyphs[asked].shape)
        moved = np.roll(glyphs[asked], 1, axis=2) + noise
        assert score(moved.clip(0, 255).astype(np.uint8), asked).top1 > 0.95

    def test_five_nearest_are_counted_in_order(self):
        known = np.stack([np.full((32, 32, 3), 10 * n, np.uint8) for n in range(10)])
        pictures = np.full((3, 32, 32, 3), 41, np.uint8)
        asked = np.array([4, 6, 7])
        assert ranking(pictures, known)[0, :5].tolist() == [4, 5, 3, 6, 2]
        assert score(pictures, asked, known) == Score(top1=1 / 3, top5=2 / 3)

    def test_equal_thumbnails_rank_in_the_order_of_the_list(self):
        known = np.zeros((4, 32, 32, 3), np.uint8)
        assert ranking(known[:1], known).tolist() == [[0, 1, 2, 3]]


class TestRefusals:
    @pytest.mark.parametrize("shape", [(2, 48, 48, 3), (2, 16, 16, 3), (2, 32, 64, 3), (2, 32, 32)])
    def test_sizes_that_do_not_divide(self, shape):
        with pytest.raises(InvalidInput, match="multiple of 32"):
            score(np.zeros(shape, np.uint8), np.zeros(2, np.int64))

    def test_a_caption_for_every_picture(self):
        with pytest.raises(InvalidInput, match="one place for each"):
            score(np.zeros((2, 32, 32, 3), np.uint8), np.zeros(3, np.int64))

    def test_no_pictures(self):
        with pytest.raises(InvalidInput, match="one place for each"):
            score(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, np.int64))

    @pytest.mark.parametrize("place", [-1, 400])
    def test_places_outside_the_list(self, place):
        with pytest.raises(InvalidInput, match="outside the list"):
            score(np.zeros((1, 32, 32, 3), np.uint8), np.array([place]))


class TestPieces:
    def test_reduction_is_the_mean_of_each_square(self):
        pictures = np.random.default_rng(7).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
        small = reduce(pictures)
        assert small.shape == (2, 32, 32, 3)
        assert small[1, 4, 9, 2] == pytest.approx(pictures[1, 12:15, 27:30, 2].mean())

    def test_pictures_of_32_pixels_stay(self, thumbnails):
        np.testing.assert_array_equal(reduce(thumbnails), thumbnails)

    def test_the_captions_are_200_different_ones_and_always_the_same(self):
        asked = fixed_captions()
        assert len(set(asked.tolist())) == CAPTIONS == 200
        assert asked.max() < len(load_glyphs())
        np.testing.assert_array_equal(asked, fixed_captions())

    def test_shuffling_leaves_no_caption_at_its_place(self):
        asked = fixed_captions()
        assert (shuffled(asked) != asked).all()
        assert sorted(shuffled(asked)) == sorted(asked)

    def test_a_sheet_is_read_as_it_was_written(self, glyphs, tmp_path):
        write_sheet(glyphs, tmp_path / "sheet.png")
        np.testing.assert_array_equal(read_sheet(tmp_path / "sheet.png", GLYPH_PX), glyphs)

    def test_the_autoencoder_error_is_small_and_not_zero(self):
        assert 1e-5 < reconstruction_error() < 2e-3

    def test_a_last_row_that_is_not_full_ends_in_white(self, glyphs, tmp_path):
        write_sheet(glyphs[:23], tmp_path / "sheet.png")
        rows = read_sheet(tmp_path / "sheet.png", GLYPH_PX)
        np.testing.assert_array_equal(rows[:23], glyphs[:23])
        assert rows[23:].shape == (17, GLYPH_PX, GLYPH_PX, 3)
        assert (rows[23:] == 255).all()

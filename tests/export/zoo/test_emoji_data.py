"""The list of glyphs: its rule, its size, how views are cut, and the committed sheets."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import denoisert.export.zoo.emoji as emoji
from denoisert.export.zoo.emoji.data import (
    CANVAS_PX,
    GLYPH_PX,
    STRAIGHT,
    View,
    close_pairs,
    crop,
    load_glyphs,
    random_view,
    too_close,
)
from denoisert.export.zoo.emoji.quality import (
    ORIGINALS_FILE,
    THUMBNAIL_PX,
    THUMBNAILS_FILE,
    read_sheet,
)

FOLDER = Path(emoji.__file__).parent
MEGABYTE = 1_000_000


def canvas_with_square(left: int, upper: int, edge: int = 40) -> np.ndarray:
    """A white canvas with one black square."""
    canvas = np.full((CANVAS_PX, CANVAS_PX, 3), 255, np.uint8)
    canvas[upper : upper + edge, left : left + edge] = 0
    return canvas


def centre(picture: np.ndarray) -> tuple[float, float]:
    """Mean row and column of the ink."""
    ink = 255.0 - picture.mean(-1)
    rows, columns = np.indices(ink.shape)
    return float((rows * ink).sum() / ink.sum()), float((columns * ink).sum() / ink.sum())


def ink(picture: np.ndarray) -> float:
    return float((255.0 - picture).sum())


class TestRule:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("cat face", "dog face"),
            ("fire", "fire engine"),
            ("red apple", "green apple"),
            ("red apple", "red apple"),
            ("cat face", "smiling face"),
            ("white up pointing index", "white down pointing index"),
        ],
    )
    def test_captions_that_differ_in_one_word_are_too_close(self, first, second):
        assert too_close(first, second)
        assert too_close(second, first)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("cat", "dog"),
            ("hot beverage", "red apple"),
            ("loudly crying face", "panda face"),
            ("wine glass", "glass of milk"),
        ],
    )
    def test_captions_that_share_no_word_or_differ_in_two_are_not(self, first, second):
        assert not too_close(first, second)
        assert not too_close(second, first)

    def test_close_pairs_finds_the_one_bad_pair(self):
        assert close_pairs(["cat", "cat face", "hot beverage"]) == [("cat", "cat face")]

    def test_the_list_keeps_the_rule(self):
        captions = [glyph.caption for glyph in load_glyphs()]
        assert close_pairs(captions) == []
        words = [set(caption.split()) for caption in captions]
        smallest = min(len(a ^ b) for i, a in enumerate(words) for b in words[:i])
        assert smallest > 1


class TestList:
    def test_it_has_between_200_and_400_glyphs_in_order(self):
        codes = [glyph.code for glyph in load_glyphs()]
        assert 200 <= len(codes) <= 400
        assert codes == sorted(set(codes))

    def test_captions_are_the_lower_case_unicode_names(self):
        for glyph in load_glyphs():
            assert glyph.caption == unicodedata.name(chr(glyph.code)).lower()

    def test_no_skin_tone_clock_face_flag_or_keycap_is_in_it(self):
        banned = {"fitzpatrick", "keycap", "oclock", "regional", "letter", "latin"}
        assert not banned & {word for glyph in load_glyphs() for word in glyph.caption.split()}

    def test_the_readme_examples_are_in_it(self):
        assert {"red apple", "hot beverage"} <= {glyph.caption for glyph in load_glyphs()}


class TestViews:
    def test_the_straight_view_keeps_the_middle_in_the_middle(self):
        picture = crop(canvas_with_square(60, 60))
        assert picture.shape == (GLYPH_PX, GLYPH_PX, 3)
        assert picture.dtype == np.uint8
        np.testing.assert_allclose(centre(picture), (31.5, 31.5), atol=0.1)

    def test_a_shift_moves_by_that_many_pixels_to_the_right_and_down(self):
        canvas = canvas_with_square(60, 60)
        row, column = centre(crop(canvas))
        moved = centre(crop(canvas, View(right_px=2.0, down_px=-1.0)))
        np.testing.assert_allclose(moved, (row - 1, column + 2), atol=0.1)

    def test_scale_multiplies_the_edge(self):
        canvas = canvas_with_square(60, 60)
        ratio = ink(crop(canvas, View(scale=1.06))) / ink(crop(canvas))
        assert ratio == pytest.approx(1.06**2, rel=0.02)

    def test_a_quarter_turn_goes_against_the_clock(self):
        right = crop(canvas_with_square(100, 60))
        turned = centre(crop(canvas_with_square(100, 60), View(degrees=90)))
        row, column = centre(right)
        assert column > 40
        np.testing.assert_allclose(turned, (63 - column, row), atol=0.5)

    def test_corners_that_a_turn_uncovers_are_white(self):
        blank = np.full((CANVAS_PX, CANVAS_PX, 3), 255, np.uint8)
        assert crop(blank, View(degrees=30)).min() == 255

    def test_random_views_stay_within_the_stated_limits_and_differ(self):
        generator = np.random.default_rng(5)
        views = [random_view(generator, 0.5) for _ in range(200)]
        assert len(set(views)) == 200
        assert max(abs(view.right_px) for view in views) <= 1
        assert max(abs(view.down_px) for view in views) <= 1
        assert max(abs(view.scale - 1) for view in views) <= 0.03
        assert max(abs(view.degrees) for view in views) <= 2.5
        assert random_view(generator, 0.0) == STRAIGHT


class TestSheets:
    def test_both_sheets_have_a_picture_for_every_glyph(self):
        originals = read_sheet(ORIGINALS_FILE, GLYPH_PX)
        thumbnails = read_sheet(THUMBNAILS_FILE, THUMBNAIL_PX)
        assert len(originals) == len(thumbnails) == len(load_glyphs())
        assert min(picture.std() for picture in originals) > 10
        assert min(picture.std() for picture in thumbnails) > 10

    def test_they_are_small(self):
        sizes = [path.stat().st_size for path in (ORIGINALS_FILE, THUMBNAILS_FILE)]
        assert sum(sizes) <= 2 * MEGABYTE

    def test_a_sheet_has_rows_of_20(self):
        with Image.open(THUMBNAILS_FILE) as picture:
            width, height = picture.size
        assert width == 20 * THUMBNAIL_PX
        assert height == -(-len(load_glyphs()) // 20) * THUMBNAIL_PX

    def test_the_licence_of_the_glyphs_is_there(self):
        text = (FOLDER / "LICENSE-NOTO").read_text(encoding="utf-8")
        assert "SIL OPEN FONT LICENSE" in text.upper()
        assert "Noto" in (FOLDER / "README.md").read_text(encoding="utf-8")

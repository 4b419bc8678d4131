"""The yardstick of emoji: the nearest glyph, and how far the picture is from the one asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.quality.yardstick import OWN, Scores, Yardstick
from denoisert.export.zoo.emoji.data import load_glyphs
from denoisert.export.zoo.emoji.quality import (
    THUMBNAIL_PX,
    THUMBNAILS_FILE,
    fixed_captions,
    ranking,
    read_sheet,
    reduce,
)
from denoisert.runtime import AlignYourSteps, Exponential, Karras, Result, Rounded

PICTURES = 8
LEVELS = 255.0


def asked() -> list[int]:
    """Places in the list of the captions asked for: the first of the fixed measure."""
    return [int(place) for place in fixed_captions()[:PICTURES]]


def score(results: Sequence[Result]) -> Scores:
    """Judge pictures of the captions asked for, as many of each; pixels in 0..1.

    Args:
        results: one for each caption, in order.
    """
    drawn = [np.asarray(image) for result in results for image in result.images]
    places = np.repeat(asked()[: len(results)], [len(result.flat) for result in results])
    known = read_sheet(THUMBNAILS_FILE, THUMBNAIL_PX)
    pictures = np.stack(drawn)
    apart = ((reduce(pictures) - known[places]) / LEVELS) ** 2
    return Scores(np.sqrt(apart.mean((1, 2, 3))), ranking(pictures, known)[:, 0] == places)


YARDSTICK = Yardstick(
    name="emoji",
    distance="RMS distance to the glyph asked for, 32 x 32, pixels 0..1",
    conditions=tuple(load_glyphs()[place].caption for place in asked()),
    images=1,
    score=score,
    spacings={
        "karras": Karras(),
        "whole karras": Rounded(Karras()),
        "exponential": Exponential(),
        "align_your_steps": AlignYourSteps(),
    },
    shown=("karras", "exponential", "align_your_steps"),
    selected=("ddim", "dpmpp_2m", "unipc", "deis"),
    named=(("dpmpp_2m", OWN), ("deis(order=2)", "karras")),
)

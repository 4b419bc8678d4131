"""Which shapes an engine was compiled for, and which profile serves a call."""

import pytest

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.profile import (
    Profile,
    buckets_at,
    choose_profile,
    profile_buckets,
)
from denoisert.runtime.errors import BuildError, InvalidInput, OutOfProfile

WIDE = Profile({"lanes": (1, 2, 16), "height": (64, 96, 128), "width": (64, 96, 128)})
SQUARE = Profile({"lanes": (1, 2, 16), "height": (64, 64, 64), "width": (64, 64, 64)})
STATIC = Profile({"lanes": (4, 4, 4), "height": (64, 64, 64), "width": (64, 64, 64)})
OUT = (Port("out", "float32", ("lanes", 4, "height", "width")),)
FIXED = (Port("out", "float32", (4, 4, "height", "width")),)


def at(lanes, height, width):
    return {"lanes": lanes, "height": height, "width": width}


@pytest.mark.parametrize("lengths", [(0, 1, 2), (3, 2, 4), (1, 4, 3), (1, 2), (1, 1, 1, 1)])
def test_lengths_ascend_from_one(lengths):
    with pytest.raises(InvalidInput, match="ascending"):
        Profile({"lanes": lengths})


def test_a_profile_in_words():
    assert str(WIDE) == "lanes 1 to 16, height 64 to 128, width 64 to 128"
    assert str(STATIC) == "lanes 4, height 64, width 64"
    assert STATIC.is_static
    assert not SQUARE.is_static


@pytest.mark.parametrize(
    ("lengths", "is_held"),
    [
        (at(1, 64, 64), True),
        (at(16, 128, 128), True),
        (at(17, 64, 64), False),
        (at(1, 63, 64), False),
        (at(1, 64, 129), False),
        ({"lanes": 2}, True),
        ({"lanes": 2, "tokens": 999}, True),
        ({}, True),
    ],
)
def test_what_a_profile_holds(lengths, is_held):
    assert WIDE.holds(lengths) == is_held


@pytest.mark.parametrize(
    ("lengths", "number"),
    [
        (at(4, 64, 64), 2),
        (at(3, 64, 64), 1),
        (at(3, 64, 128), 0),
        (at(16, 128, 128), 0),
        ({}, 2),
    ],
)
def test_the_tightest_profile_serves(lengths, number):
    assert choose_profile((WIDE, SQUARE, STATIC), lengths) == number


def test_of_equally_large_ones_the_nearer_then_the_first():
    low = Profile({"lanes": (1, 2, 8)})
    high = Profile({"lanes": (1, 8, 8)})
    assert choose_profile((low, high), {"lanes": 2}) == 0
    assert choose_profile((low, high), {"lanes": 8}) == 1
    assert choose_profile((low, low), {"lanes": 3}) == 0
    assert choose_profile((), {"lanes": 3}) == 0


def test_what_no_profile_holds_is_refused_with_all_of_them():
    with pytest.raises(OutOfProfile) as caught:
        choose_profile((SQUARE, STATIC), at(2, 64, 72))
    assert str(caught.value) == (
        "lanes 2, height 64, width 72 asked for; the engine is compiled for lanes 1 to 16, height "
        "64, width 64; lanes 4, height 64, width 64. Ask for a size inside, or compile the model "
        "again with --size and --batch."
    )


def test_lanes_of_all_profiles_together():
    assert profile_buckets(()) == ()
    assert profile_buckets((Profile({"height": (1, 1, 1)}),)) == ()
    spans = (Profile({"lanes": (2, 2, 3)}), Profile({"lanes": (6, 6, 6)}))
    assert profile_buckets(spans) == (2, 3, 6)


@pytest.mark.parametrize(
    ("outputs", "profiles", "sizes", "buckets"),
    [
        (OUT, (), {}, range(1, 17)),
        (FIXED, (), {}, (4,)),
        (OUT, (WIDE, STATIC), {}, range(1, 17)),
        (OUT, (STATIC,), {}, (4,)),
        (OUT, (STATIC, Profile({**WIDE.axes, "lanes": (1, 1, 2)})), {}, (1, 2, 4)),
        (OUT, (STATIC, Profile({**WIDE.axes, "lanes": (1, 1, 2)})), {"width": 128}, (1, 2)),
        (FIXED, (WIDE,), {"height": 64, "width": 128}, (4,)),
        (OUT, (Profile({"height": (8, 8, 8)}),), {"height": 8}, range(1, 17)),
        (OUT, (Profile({"lanes": (3, 3, 3)}), Profile({"lanes": (7, 7, 7)})), {}, (3, 7)),
        (OUT, (Profile({"lanes": (1, 1, 99)}),), {}, range(1, 17)),
    ],
)
def test_buckets_are_those_of_profiles_that_hold_the_size(outputs, profiles, sizes, buckets):
    assert buckets_at(outputs, profiles, sizes) == tuple(buckets)


def test_a_size_or_batch_that_no_profile_holds_has_no_buckets():
    with pytest.raises(OutOfProfile, match=r"^width 256 asked for; .*lanes 1 to 16, .*; lanes 4"):
        buckets_at(OUT, (WIDE, STATIC), {"width": 256})
    narrow = Profile({"lanes": (1, 1, 2)})
    with pytest.raises(OutOfProfile, match=r"lanes 4 asked for; .* lanes 1 to 2"):
        buckets_at(FIXED, (narrow,), {})
    with pytest.raises(OutOfProfile, match="lanes 16 asked for"):
        buckets_at(OUT, (Profile({"lanes": (32, 32, 64)}),), {})
    with pytest.raises(OutOfProfile, match="height 16 asked for"):
        buckets_at(FIXED, (WIDE, STATIC), {"height": 16})
    with pytest.raises(BuildError, match="scalar"):
        buckets_at((Port("out", "float32", ()),), (WIDE,), {})

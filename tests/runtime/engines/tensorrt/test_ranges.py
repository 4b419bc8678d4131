"""Which profile holds a call, and at which lane counts an engine can be bound."""

import pytest

from denoisert.runtime.engines.engine import LARGEST_BUCKET, Port
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.tensorrt.ranges import buckets_of, choose_profile
from denoisert.runtime.errors import OutOfProfile

WIDE = Profile({"lanes": (1, 4, 8), "height": (32, 64, 128)})
NARROW = Profile({"lanes": (1, 2, 4), "height": (32, 64, 64)})
STATIC = Profile({"lanes": (2, 2, 2), "height": (64, 64, 64)})
OUTPUTS = (Port("y", "float32", ("lanes", 4, "height")),)


@pytest.mark.parametrize(
    ("lanes", "height", "number"),
    [(1, 32, 1), (2, 64, 2), (2, 32, 1), (4, 64, 1), (8, 32, 0), (1, 128, 0), (8, 128, 0)],
)
def test_the_tightest_profile_that_holds_a_call(lanes, height, number):
    profiles = WIDE, NARROW, STATIC
    assert choose_profile(profiles, {"lanes": lanes, "height": height}) == number


def test_of_two_as_large_the_usual_shape_decides_then_the_first():
    few, many = Profile({"lanes": (1, 1, 8)}), Profile({"lanes": (1, 8, 8)})
    assert choose_profile((few, many), {"lanes": 1}) == 0
    assert choose_profile((few, many), {"lanes": 8}) == 1
    assert choose_profile((few, few), {"lanes": 8}) == 0


def test_without_profiles_there_is_one():
    assert choose_profile((), {"lanes": 3}) == 0


@pytest.mark.parametrize("lengths", [{"lanes": 9, "height": 64}, {"lanes": 1, "height": 16}])
def test_a_call_outside_is_refused_with_the_ranges(lengths):
    with pytest.raises(OutOfProfile) as caught:
        choose_profile((WIDE, STATIC), lengths)
    assert f"height {lengths['height']} asked for" in str(caught.value)
    assert "lanes 1 to 8, height 32 to 128; lanes 2, height 64" in str(caught.value)


@pytest.mark.parametrize(
    ("profiles", "sizes", "lanes"),
    [
        ((), {}, range(1, LARGEST_BUCKET + 1)),
        ((WIDE,), {}, range(1, 9)),
        ((NARROW, STATIC), {}, range(1, 5)),
        ((WIDE, STATIC), {"height": 64}, range(1, 9)),
        ((NARROW, WIDE), {"height": 128}, range(1, 9)),
        ((STATIC,), {"height": 64}, (2,)),
        ((Profile({"lanes": (3, 3, 3)}), Profile({"lanes": (7, 7, 7)})), {}, (3, 7)),
        ((Profile({"height": (32, 32, 32)}),), {}, range(1, LARGEST_BUCKET + 1)),
        ((Profile({"lanes": (1, 1, 99)}),), {}, range(1, LARGEST_BUCKET + 1)),
    ],
)
def test_buckets_are_the_lanes_that_some_profile_holds(profiles, sizes, lanes):
    assert buckets_of(OUTPUTS, profiles, sizes) == tuple(lanes)


def test_a_fixed_batch_is_the_only_bucket():
    outputs = (Port("y", "float32", (3, 4)),)
    assert buckets_of(outputs, (WIDE,), {}) == (3,)


@pytest.mark.parametrize("outputs", [OUTPUTS, (Port("y", "float32", (3, 4)),)])
def test_sizes_that_no_profile_holds_are_refused(outputs):
    with pytest.raises(OutOfProfile, match="height 16 asked for"):
        buckets_of(outputs, (WIDE, STATIC), {"height": 16})


def test_lanes_that_are_never_reached_are_refused():
    with pytest.raises(OutOfProfile, match="lanes 16 asked for"):
        buckets_of(OUTPUTS, (Profile({"lanes": (32, 32, 64)}),), {})

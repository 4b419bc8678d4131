"""The planner's three lines: target, engine with its profile, bucket with its padding."""

from dataclasses import replace

import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.bundle.sizes import layout_of
from denoisert.runtime.engines.choice import Choice, choose
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.target import TensorRtRtx, Torch
from denoisert.runtime.errors import OutOfProfile
from denoisert.runtime.route import route_of
from tests.runtime.bundles import compiled
from tests.runtime.engines.sets import profiled, with_sets
from tests.runtime.networks import perceptron
from tests.runtime.sized import coder, sized_bundle, sized_card

KEY = "tensorrt-rtx-float16"
LOW = Profile({"lanes": (2, 2, 8), "height": (6, 6, 6), "width": (4, 4, 4)})
WIDE = Profile({"lanes": (2, 2, 16), "height": (4, 6, 6), "width": (4, 4, 8)})
STATIC = Profile({"lanes": (4, 4, 4), "height": (6, 6, 6), "width": (4, 4, 4)})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return sized_bundle(tmp_path_factory.mktemp("sized"), sized_card((6, 4), (4, 8)))


@pytest.fixture
def bundle(path):
    return Bundle.open(path)


def compiled_for(bundle, *profiles):
    """The bundle with one GPU set of these profiles, and the choice that a GPU would make."""
    mine = with_sets(bundle, {KEY: profiled(bundle, *profiles)})
    return mine, Choice(TensorRtRtx(), "chosen for a reason")


@pytest.mark.parametrize(
    ("lanes", "buckets"), [(1, (1,)), (3, (3,)), (16, (16,)), (17, (16, 1)), (40, (16, 16, 8))]
)
def test_a_graph_for_any_lanes_pads_nothing(bundle, lanes, buckets):
    found = route_of(bundle, choose(bundle), bundle.card.layout, lanes)
    assert tuple(call.bucket for call in found.calls) == buckets
    assert (found.lanes, found.padding, found.served) == (lanes, 0, ())
    assert found.lines[1] == (
        "engine   engines/onnxruntime/denoiser.onnx, for every shape that its inputs allow"
    )


@pytest.mark.parametrize(
    ("size", "lanes", "served", "bucket"),
    [
        ((6, 4), 2, 0, "6x4: 2 lanes in bucket 2"),
        ((6, 4), 1, 0, "6x4: 1 lane in bucket 2, 1 of them padding"),
        ((6, 4), 4, 2, "6x4: 4 lanes in bucket 4"),
        ((6, 4), 9, 1, "6x4: 9 lanes in bucket 9"),
        ((4, 8), 4, 1, "4x8: 4 lanes in bucket 4"),
    ],
)
def test_the_tightest_profile_and_the_least_bucket_serve(bundle, size, lanes, served, bucket):
    mine, choice = compiled_for(bundle, LOW, WIDE, STATIC)
    found = route_of(mine, choice, layout_of(mine.card, size), lanes)
    assert found.served == (served,)
    profile = (LOW, WIDE, STATIC)[served]
    assert found.lines == (
        "target   chosen for a reason",
        f"engine   engines/{KEY}/denoiser.onnx, profile {served + 1} of 3 ({profile})",
        f"bucket   {bucket}",
    )


def test_three_lanes_run_in_bucket_four(bundle):
    mine, choice = compiled_for(bundle, STATIC)
    found = route_of(mine, choice, mine.card.layout, 3)
    assert (found.padding, found.lanes) == (1, 3)
    assert found.lines[2] == "bucket   6x4: 3 lanes in bucket 4, 1 of them padding"


def test_calls_of_one_tick_may_be_served_by_several_profiles(bundle):
    wide = Profile({**WIDE.axes, "lanes": (1, 2, 2)})
    mine, choice = compiled_for(bundle, wide, STATIC)
    found = route_of(mine, choice, mine.card.layout, 9)
    assert [call.bucket for call in found.calls] == [4, 4, 1]
    assert found.served == (1, 1, 0)
    assert "profile 1 of 2 (" in found.lines[1]
    assert " and profile 2 of 2 (lanes 4, " in found.lines[1]
    assert found.lines[2] == "bucket   6x4: 9 lanes in 3 calls, buckets 4, then 4, then 1"


def test_a_size_without_a_profile_is_refused(bundle):
    mine, choice = compiled_for(bundle, LOW, STATIC)
    with pytest.raises(OutOfProfile, match=r"^height 4, width 8 asked for.* lanes 2 to 8, height"):
        route_of(mine, choice, layout_of(mine.card, (4, 8)), 2)


def test_torch_runs_the_graph_itself(bundle):
    found = route_of(bundle, choose(bundle, Torch("cpu")), bundle.card.layout, 2)
    assert found.path == "graphs/denoiser.onnx"


def test_a_fixed_batch_and_a_state_without_pixels(tmp_path):
    bundle = Bundle.open(compiled(perceptron(batch=4), tmp_path))
    found = route_of(bundle, choose(bundle), bundle.card.layout, 6)
    assert [call.bucket for call in found.calls] == [4, 4]
    assert found.padding == 2
    assert replace(found, size=None).lines[2] == (
        "bucket   6 lanes in 2 calls, buckets 4, then 4, 2 of them padding"
    )


def test_pixels_are_those_of_the_picture(tmp_path):
    card = sized_card((6, 4), coder=coder((6, 4)))
    bundle = Bundle.open(sized_bundle(tmp_path, card))
    assert route_of(bundle, choose(bundle), card.layout, 1).size == (12, 8)

"""An engine that is not loaded yet knows its ports and buckets, at every size."""

from __future__ import annotations

import pytest

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.resident import DeferredEngine, Resident, memory_counts
from denoisert.runtime.errors import BuildError, EngineError, OutOfProfile

IN = (Port("latent", "float32", ("lanes", 4, "height")),)
OUT = (Port("out", "float32", ("lanes", 4, "height")),)
LOW = Profile({"lanes": (1, 2, 8), "height": (8, 8, 16)})
HIGH = Profile({"lanes": (2, 2, 4), "height": (16, 32, 32)})


class Engine:
    """An engine that remembers where it was asked to go."""

    def __init__(self, outputs=OUT) -> None:
        self.inputs, self.outputs = IN, outputs
        self.is_closed = False

    def at(self, sizes):
        self.sizes = dict(sizes)
        return self

    def bind(self, bucket, buffers):
        return bucket, self.sizes

    def workspace_bytes(self, bucket):
        return 10 * bucket

    def close(self):
        self.is_closed = True


def deferred(*profiles, engine=None) -> DeferredEngine:
    found = engine or Engine()
    return DeferredEngine(Resident("denoiser", 100, lambda: found), (IN, OUT), profiles)


@pytest.mark.parametrize(
    ("sizes", "buckets"),
    [
        ({}, range(1, 9)),
        ({"height": 8}, range(1, 9)),
        ({"height": 16}, range(1, 9)),
        ({"height": 32}, range(2, 5)),
        ({"other": 3}, range(1, 9)),
    ],
)
def test_buckets_are_those_of_its_size(sizes, buckets):
    found = deferred(LOW, HIGH).at(sizes)
    assert found.buckets == tuple(buckets)
    assert not found.resident.is_loaded


def test_without_profiles_any_lanes_go_at_any_size():
    assert deferred().buckets == deferred().at({"height": 99}).buckets == tuple(range(1, 17))


def test_a_size_that_it_was_not_compiled_for_is_refused_before_it_is_loaded():
    engine = deferred(LOW, HIGH)
    with pytest.raises(OutOfProfile, match="height 64 asked for"):
        engine.at({"height": 64})
    assert engine.resident.loads == 0


def test_a_view_binds_at_its_size_and_shares_the_engine():
    engine = deferred(LOW, HIGH)
    low, high = engine.at({"height": 8}), engine.at({"height": 32})
    assert high.workspace_bytes(4) == 0
    assert low.bind(8, {}) == (8, {"height": 8})
    assert high.bind(4, {}) == (4, {"height": 32})
    assert high.workspace_bytes(4) == 40
    assert engine.resident.loads == 1
    assert engine.at({}) is engine


def test_what_was_released_comes_back_and_what_is_closed_does_not():
    engine = deferred(LOW)
    engine.at({"height": 8}).bind(1, {})
    engine.resident.release()
    assert not engine.resident.is_loaded
    engine.at({"height": 8}).bind(1, {})
    counts = memory_counts([engine.resident])
    assert (counts["loads"], counts["releases"], counts["weight_bytes"]) == (2, 1, 100)
    engine.close()
    with pytest.raises(EngineError, match="'denoiser' is closed"):
        engine.bind(1, {})


def test_an_engine_with_other_ports_than_the_manifest_is_refused():
    engine = deferred(engine=Engine((Port("out", "float16", ("lanes", 4, "height")),)))
    with pytest.raises(BuildError, match="by the manifest it has"):
        engine.bind(1, {})

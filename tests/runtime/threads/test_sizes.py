"""Requests of several sizes in one runtime: each is, bit for bit, what it is in a bundle alone."""

import time

import numpy as np
import pytest

from denoisert.runtime import Request, Runtime
from denoisert.runtime.codec.pixels import pixel_values
from denoisert.runtime.engines.target import Torch
from denoisert.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
)
from denoisert.runtime.events import Preview
from denoisert.runtime.request import Limits
from tests.runtime.bundles import watched
from tests.runtime.sized import (
    PAINTER,
    SIZES,
    coder,
    layouts,
    sized_bundle,
    sized_card,
)
from tests.runtime.threads.gates import gated
from tests.runtime.threads.sized_requests import MANY, PIXELS, same, shape_of


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_sizes_that_run_together_are_what_each_is_alone(both, alone, slots):
    with Runtime.open(both, threads=1, slots=slots) as runtime:
        results = runtime.generate(MANY)
        assert runtime.stats()["requests_done"] == len(MANY)
    for request, result in zip(MANY, results, strict=True):
        assert same(result, alone(request))
        (height, width) = request.size or PIXELS[0]
        assert result.pixels.shape == (request.images, height, width, 3)
        assert result.images[0].size == (width, height)


def test_two_devices_serve_both_sizes(both, alone):
    with Runtime.open(both, threads=2, slots=1, devices=("cpu", "cpu")) as runtime:
        results = runtime.generate(MANY * 2)
    for request, result in zip(MANY * 2, results, strict=True):
        assert same(result, alone(request))


def test_pools_take_turns_tick_by_tick(both):
    seen = []
    runtime, spy = watched(both, before=shape_of(seen))
    with runtime:
        requests = [Request(1, size=size, steps=4) for size in PIXELS]
        runtime.generate(requests)
        together = [shape[2:] for shape in seen[:8]]
    assert together in ([*SIZES] * 4, [*reversed(SIZES)] * 4)
    assert len(spy.runs) == 8


def test_a_pool_is_made_when_the_first_request_of_its_size_comes(both):
    with Runtime.open(both, threads=1) as runtime:
        (loop,) = runtime._crew.loops
        runtime.generate(MANY[0])
        assert [pool.layout for pool in loop._pools.made] == [*layouts(SIZES[0])]
        assert not loop._pools.are_several
        runtime.generate(MANY[1])
        assert [pool.layout for pool in loop._pools.made] == [*layouts(*SIZES)]
        first, second = loop._pools.made
        assert first.denoisers[0].engine.resident is second.denoisers[0].engine.resident
        runtime.generate(MANY)
        assert loop._pools.made == (first, second)
        assert loop.send(lambda: None).wait()
        assert (loop._jobs, loop._places) == ({}, {})
        assert not first.outcomes | second.outcomes


LONG = Request(1, seed=3, steps=300, size=PIXELS[0])


def test_parking_at_one_size_leaves_the_other_alone(both, alone):
    urgent = Request(2, seed=9, steps=3, size=PIXELS[0], limits=Limits(priority=5))
    other = Request(3, seed=4, steps=30, size=PIXELS[1])
    with gated(both, slots=1) as (runtime, gate, _):
        low = runtime.submit(LONG)
        gate.let(4)
        gate.reached(5)
        tickets = [runtime.submit(each) for each in (other, urgent)]
        gate.let(12)
        tickets[1].result(60)
        assert not low.is_done
        assert runtime.stats()["parked"] == 1
        gate.free()
        results = [ticket.result(60) for ticket in (low, *tickets)]
        assert runtime.stats()["parked"] == 1
    for request, result in zip((LONG, other, urgent), results, strict=True):
        assert np.array_equal(result.flat, alone(request).flat)


def test_parking_is_counted_over_all_pools(both):
    with gated(both, slots=1) as (runtime, gate, _):
        lows = [runtime.submit(Request(1, steps=20, size=size)) for size in PIXELS]
        gate.let(4)
        gate.reached(5)
        urgent = Limits(priority=5)
        highs = [runtime.submit(Request(1, steps=2, size=size, limits=urgent)) for size in PIXELS]
        gate.free()
        for ticket in (*lows, *highs):
            ticket.result(60)
        assert runtime.stats()["parked"] == 2


def test_previews_are_of_their_own_size(both, alone):
    request = Request(4, seed=3, steps=6, size=PIXELS[1])
    with Runtime.open(both, threads=1) as runtime:
        beside = runtime.submit(LONG)
        ticket = runtime.submit(request, previews=2)
        previews = [event for event in ticket.events() if isinstance(event, Preview)]
        found = ticket.result(60)
        beside.cancel()
    assert np.array_equal(found.flat, alone(request).flat)
    assert previews
    for preview in previews:
        assert preview.latent.size == layouts(SIZES[1])[0].elements
        assert preview.picture.size == (SIZES[1][1], SIZES[1][0])


def test_cancelling_and_deadlines_end_their_own_size_alone(both, alone):
    with gated(both, slots=2) as (runtime, gate, _):
        kept = runtime.submit(Request(5, seed=8, steps=12, size=PIXELS[0]))
        gate.reached(1)
        cancelled = runtime.submit(Request(1, steps=1000, size=PIXELS[1]))
        late = runtime.submit(Request(1, steps=1000, size=PIXELS[1], limits=Limits(deadline_s=0.2)))
        gate.let(5)
        gate.reached(6)
        cancelled.cancel()
        time.sleep(0.25)  # the deadline passes while the engine stands at the gate
        gate.free()
        with pytest.raises(Cancelled):
            cancelled.result(60)
        with pytest.raises(DeadlineExceeded):
            late.result(60)
        found = kept.result(60)
        again = runtime.generate(MANY[1])
    wanted = alone(Request(5, seed=8, steps=12, size=PIXELS[0]))
    assert np.array_equal(found.flat, wanted.flat)
    assert np.array_equal(again.flat, alone(MANY[1]).flat)


def test_a_failing_engine_ends_what_ran_at_its_size(both):
    runtime, _ = watched(both, failing={2})
    with runtime:
        results = runtime.generate([Request(1, size=size, steps=4) for size in PIXELS])
        assert sorted(type(result.error) is EngineError for result in results) == [False, True]
        runtime.generate(MANY)


def test_torch_runs_both_sizes(both, alone):
    """One request at each size has the bucket that it has alone, so torch's bits are the same."""
    target = Torch("cpu")
    with Runtime.open(both, threads=1, slots=2, devices=(target,)) as runtime:
        runtime.warm()
        pair = runtime.generate(MANY[:2])
        results = runtime.generate(MANY)
    for request, result in zip(MANY[:2], pair, strict=True):
        assert same(result, alone(request, slots=2, devices=(target,)))
    for request, result in zip(MANY, results, strict=True):
        ort = alone(request)
        assert np.abs(result.flat - ort.flat).max() <= 1e-5 * np.abs(ort.flat).max()
        assert np.abs(result.pixels.astype(int) - ort.pixels).max() <= 1


def test_latents_that_fit_into_a_tile_are_decoded_whole(both, tmp_path):
    """Beside a bundle with one small tile for both sizes, whose pixels are the same painter's."""
    tiled = sized_bundle(tmp_path, sized_card(*SIZES, coder=coder((4, 4))))
    for path, tiles in ((both, [*SIZES]), (tiled, [(4, 4)])):
        with Runtime.open(path, threads=1) as runtime:
            (codec,) = runtime._crew.codecs
            assert [*codec._components.decoder._calls] == tiles
            for request in (MANY[1], MANY[3]):
                result = runtime.generate(request)
                latents = next(iter(result.latents.values()))
                painted = PAINTER.paint(latents).astype(np.float32)
                pixels = pixel_values(painted, runtime.card.picture)
                assert np.abs(result.pixels.astype(int) - pixels).max() <= 1

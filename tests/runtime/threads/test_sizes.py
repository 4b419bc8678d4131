"""Requests of several sizes in one runtime: each is, bit for bit, what it is in a bundle alone."""

import gc
import time
import weakref

import numpy as np
import pytest

from denoisert.runtime import CFG, Request, Runtime, Start, Trace
from denoisert.runtime.codec.pixels import pixel_values
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.target import Torch
from denoisert.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    InvalidInput,
    OutOfMemory,
    OutOfProfile,
)
from denoisert.runtime.events import Preview
from denoisert.runtime.request import Limits
from denoisert.runtime.threads.pools import Pools
from tests.runtime.bundles import watched
from tests.runtime.coders import FACTOR
from tests.runtime.samplers import flow_table
from tests.runtime.sized import (
    PAINTER,
    SIZES,
    coder,
    layouts,
    sized_bundle,
    sized_card,
    sized_model,
)
from tests.runtime.spies import work
from tests.runtime.threads.gates import gated

TILE = (6, 8)
"""Both latents, 6 x 4 and 4 x 8, fit into it."""

PIXELS = tuple((height * FACTOR, width * FACTOR) for height, width in SIZES)
READOUT = tuple((0.1 * row, 0.2, -0.1, 0.3, 0.0) for row in range(3))
MANY = [
    Request(1, seed=3, size=PIXELS[0], guidance=CFG(2.0)),
    Request(4, seed=3, size=PIXELS[1], images=3, steps=7),
    Request(2, seed=9, size=PIXELS[1], guidance=CFG(3.0)),
    Request(5, seed=1, size=PIXELS[0], images=2, steps=3),
    Request(6, seed=2, steps=4),
]


def card(*sizes):
    return sized_card(*sizes, coder=coder(TILE, readout=READOUT))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A bundle of both sizes."""
    return sized_bundle(tmp_path_factory.mktemp("both"), card(*SIZES))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """From a request to its result in a bundle of its size only, in a runtime of its own."""
    paths = {}
    for pixels, size in zip(PIXELS, SIZES, strict=True):
        own = sized_card(size, coder=coder(size, readout=READOUT))
        paths[pixels] = sized_bundle(tmp_path_factory.mktemp("one"), own)

    def run(request, **options):
        with Runtime.open(paths[request.size or PIXELS[0]], threads=1, **options) as runtime:
            return runtime.generate(request)

    return run


def same(found, wanted):
    return (
        np.array_equal(found.flat, wanted.flat)
        and np.array_equal(found.pixels, wanted.pixels)
        and found.layout == wanted.layout
        and np.isfinite(found.flat).all()
    )


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


def shape_of(seen):
    """A spy's hook that notes the latents of every run."""
    return lambda buffers: seen.append(buffers["latent"].shape)


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
        assert first.denoisers[0].engine._opened is second.denoisers[0].engine._opened
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


def test_a_third_size_is_refused_and_those_that_are_compiled_are_named(both):
    with Runtime.open(both, threads=1) as runtime:
        with pytest.raises(OutOfProfile, match=r"size 8x8 asked for.*for 12x8 and 8x16") as caught:
            runtime.submit(Request(1, size=(8, 8)))
        assert "Leave the size out" in str(caught.value)
        with pytest.raises(OutOfProfile, match="12x8 and 8x16"):
            runtime.generate([MANY[0], Request(1, size=PIXELS[0][::-1])])
        assert runtime.stats()["requests_submitted"] == 0


def test_a_start_belongs_to_the_size_of_its_request(both, alone):
    pictures = [np.full((*size, 3), 90, np.uint8) for size in PIXELS]
    requests = [
        Request(1, seed=5, size=size, start=Start(picture, 0.5))
        for size, picture in zip(PIXELS, pictures, strict=True)
    ]
    latent = np.random.default_rng(2).standard_normal((4, *SIZES[1])).astype(np.float32)
    requests.append(Request(1, seed=5, size=PIXELS[1], start=Start(latent, 0.5)))
    with Runtime.open(both, threads=1) as runtime:
        for request, result in zip(requests, runtime.generate(requests), strict=True):
            assert same(result, alone(request))
        with pytest.raises(InvalidInput, match=r"the picture is uint8 \(8, 16, 3\)"):
            runtime.submit(Request(1, start=Start(pictures[1], 0.5)))
        with pytest.raises(InvalidInput, match=r"latent has shape \(4, 4, 8\)"):
            runtime.submit(Request(1, start=Start(latent, 0.5)))


def test_plans_know_what_a_size_costs(both):
    with Runtime.open(both, threads=1) as runtime:
        small, large = (runtime.plan(Request(1, size=size)) for size in PIXELS)
        assert large.memory_bytes > small.memory_bytes
        assert runtime.plan(Request(1)).memory_bytes == small.memory_bytes
        pixels = [runtime._intake.planner.plan(Request(1, size=size)) for size in PIXELS]
        assert [each.pixel_bytes for each in pixels] == [3 * 12 * 8, 3 * 8 * 16]


def test_memory_of_every_pool_is_counted(both):
    with Runtime.open(both, threads=1) as runtime:
        pools = [runtime._intake.planner.plan(Request(1, size=size)).pool_bytes for size in PIXELS]
    bound = sum(pools) - 1
    with Runtime.open(both, threads=1, memory_bytes=bound) as runtime:
        requests = [Request(1, size=size) for size in PIXELS]
        for request in requests:
            assert runtime.plan(request).memory_bytes < bound
        with pytest.raises(OutOfMemory, match="pools of other sizes"):
            runtime.generate(requests)
        assert runtime.stats()["requests_submitted"] == 0
        runtime.generate(requests[0])
        with pytest.raises(OutOfMemory, match=f"with the {pools[0]} of the pools of other sizes"):
            runtime.submit(requests[1])
        runtime.generate(requests[0])
        with pytest.raises(OutOfMemory, match="pools of all 2 sizes"):
            runtime.warm()
    room = 10 * sum(pools)
    with Runtime.open(both, threads=1, memory_bytes=room) as runtime:
        runtime.generate(requests)


def test_a_pool_that_finds_no_memory_ends_its_request_alone(both, monkeypatch):
    taken = NumpyDevice.memory

    def memory(self, layout, *rest, **options):
        if layout == layouts(SIZES[1])[0]:
            raise MemoryError("no more")
        return taken(self, layout, *rest, **options)

    monkeypatch.setattr(NumpyDevice, "memory", memory)
    with Runtime.open(both, threads=1) as runtime:
        with pytest.raises(OutOfMemory, match=r"shape \(4, 4, 8\) found no memory .*\(no more\)"):
            runtime.generate(MANY[1])
        assert len(runtime.generate(MANY[0]).flat) == 1
        monkeypatch.undo()
        assert len(runtime.generate(MANY[1]).flat) == 3


def test_warming_runs_every_bucket_of_every_size(both):
    seen = []
    runtime, _ = watched(both, before=shape_of(seen))
    runtime.warm()
    assert sorted(seen) == sorted((lanes, 4, *size) for size in SIZES for lanes in range(1, 17))
    assert runtime.is_ready
    runtime.close()


def test_warming_decodes_and_encodes_at_every_size(both, alone):
    with Runtime.open(both, threads=1) as runtime:
        runtime.warm()
        (codec,) = runtime._crew.codecs
        parts = codec._components
        tiles = [set(part._calls) for part in (parts.decoder, parts.encoder)]
        assert tiles == [set(SIZES)] * 2
        assert all(
            calls._bound is not None
            for part in (parts.decoder, parts.encoder)
            for calls in part._calls.values()
        )
        assert same(runtime.generate(MANY[1]), alone(MANY[1]))


def test_statistics_count_all_pools(both):
    with Runtime.open(both, threads=1, slots=1) as runtime:
        runtime.generate([Request(1, size=size, steps=4) for size in PIXELS])
        stats = runtime.stats()
    assert (stats["ticks"], stats["lanes"]) == (8, 8)
    assert (stats["parked"], stats["requests_done"]) == (0, 2)
    assert stats["decode_ms"] > 0


def test_traces_tell_the_slots_of_other_sizes_apart(both):
    trace = Trace()
    with Runtime.open(both, threads=1, slots=1, trace=trace) as runtime:
        runtime.generate([Request(1, size=size, steps=4) for size in PIXELS])
    tracks = {span.track for span in trace.spans if span.name == "step"}
    assert tracks == {"slot 0", "slot 4x8 0"}
    for track in tracks:
        rows = [span.args["row"] for span in trace.spans if span.track == track]
        assert rows == [1, 2, 3, 4]


@pytest.mark.parametrize("patience", [0, None])
def test_closing_ends_requests_of_every_size(both, patience):
    runtime = Runtime.open(both, threads=1, slots=1)
    (loop,) = runtime._crew.loops
    steps = 1000 if patience == 0 else 5
    tickets = [runtime.submit(Request(1, size=size, steps=steps)) for size in (*PIXELS, *PIXELS)]
    session = weakref.ref(loop._pools.first.denoisers[0].engine._opened.session)
    runtime.close(drain_s=patience)
    for ticket in tickets:
        assert ticket.is_done
        if patience == 0:
            with pytest.raises(Cancelled):
                ticket.result()
        else:
            assert len(ticket.result().flat) == 1
    stats = runtime.stats()
    assert stats["requests_cancelled"] + stats["requests_done"] == 4
    del runtime, loop, tickets
    gc.collect()
    assert session() is None


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


def test_a_bundle_of_one_size_never_looks_for_another_pool(tmp_path):
    single = sized_bundle(tmp_path, sized_card(SIZES[0], coder=coder(SIZES[0])))
    with Runtime.open(single, threads=1) as runtime:
        (loop,) = runtime._crew.loops
        pool = loop._pool
        runtime.generate([MANY[0], MANY[3]])
        assert not loop._pools.are_several
        assert loop._pool is pool is loop._pools.first


def test_pools_are_found_in_turn(tmp_path):
    sizes = (*SIZES, (5, 5))
    wanted = sized_card(*sizes)
    path = tmp_path / "graph.onnx"
    path.write_bytes(sized_model(wanted).SerializeToString())
    denoisers = Denoiser.of(OrtEngine(path, tmp_path, threads=1), wanted)
    assert [each.layout for each in denoisers] == [*wanted.layouts]
    pools = Pools(denoisers, NumpyDevice(), slots=1)
    assert pools.made == (pools.first,)
    first, second, third = (pools.of(layout) for layout in wanted.layouts)
    assert pools.after(first) is first  # nobody has anything to do
    numbers = [pool.submit(work(flow_table())) for pool in (first, third)]
    assert numbers == [0, 1]
    assert [pools.after(pool) for pool in (first, second, third)] == [third, third, first]
    third.cancel(1, Cancelled("no more"))
    assert [pools.after(pool) for pool in (first, second, third)] == [first] * 3
    assert pools.title(first) == ""
    assert pools.title(third) == " 5x5"
    pools.close()
    with pytest.raises(EngineError, match="closed"):
        denoisers[1].engine.bind(1, {})

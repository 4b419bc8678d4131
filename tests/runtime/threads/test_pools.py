"""Pools of one loop: made, warmed, counted, traced and closed together."""

import gc
import weakref

import pytest

from denoisert.runtime import Phase, Request, Runtime, Trace
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.errors import (
    Cancelled,
    EngineError,
)
from denoisert.runtime.threads.pools import Pools
from tests.runtime.bundles import watched
from tests.runtime.samplers import flow_table
from tests.runtime.sized import (
    SIZES,
    coder,
    sized_bundle,
    sized_card,
    sized_model,
)
from tests.runtime.spies import work
from tests.runtime.threads.sized_requests import MANY, PIXELS, same, shape_of


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
    runtime.warm(Phase.DENOISER)
    (loop,) = runtime._crew.loops
    steps = 1000 if patience == 0 else 5
    tickets = [runtime.submit(Request(1, size=size, steps=steps)) for size in (*PIXELS, *PIXELS)]
    resident = loop._pools.first.denoisers[0].engine.resident
    session = weakref.ref(resident.engine()._opened.session)
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
    del runtime, loop, tickets, resident
    gc.collect()
    assert session() is None


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

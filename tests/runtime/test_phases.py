"""Weights come into memory when they are first needed, and leave it when that is asked."""

import gc
import json
import shutil
import weakref

import numpy as np
import pytest

from denoisert.runtime import Phase, Request, Runtime, Torch
from denoisert.runtime.errors import BuildError, EngineError, InvalidInput, Tampered
from denoisert.runtime.options import Options
from denoisert.runtime.phase import check_releasable, phases_of

RED = Request("red apple", seed=3, steps=2)
BLUE = Request("blue circle", seed=3, steps=2)
RELEASABLE = (Phase.TEXT, Phase.CODEC)


@pytest.fixture
def runtime(text_bundle):
    with Runtime.open(text_bundle, threads=1) as opened:
        yield opened


def residents(runtime):
    """Component -> its engine, in memory or not."""
    parts = runtime._crew.codecs[0]._components
    found = [each for phase in Phase for each in parts.residents[phase]]
    return {each.component: each for each in found}


def loaded(runtime):
    return {name for name, each in residents(runtime).items() if each.is_loaded}


def weights(text_bundle):
    """Component -> bytes of its weight files, as they lie on the disk."""
    manifest = json.loads((text_bundle / "manifest.json").read_text(encoding="utf-8"))
    return {
        name: sum((text_bundle / path).stat().st_size for path in graph["weights"])
        for name, graph in manifest["graphs"].items()
    }


def pixels(result):
    return np.asarray(result.images[0])


def test_each_phase_is_loaded_when_it_is_first_used(runtime, text_bundle):
    assert loaded(runtime) == set()
    assert runtime.stats()["weight_bytes"] == runtime.stats()["loads"] == 0
    runtime.plan(RED)
    assert loaded(runtime) == set(), "a plan needs no weights"
    runtime.generate(RED)
    assert loaded(runtime) == {"text_encoder", "denoiser", "decoder"}, "nothing to look at"
    sizes, stats = weights(text_bundle), runtime.stats()
    assert stats["weight_bytes"] == sum(sizes.values()) - sizes["encoder"]
    assert stats["loads"] == 3
    assert stats["load_ms"] > 0


@pytest.mark.parametrize(
    ("phases", "names"),
    [
        ((Phase.TEXT,), {"text_encoder"}),
        ((Phase.DENOISER,), {"denoiser"}),
        ((Phase.CODEC,), {"decoder", "encoder"}),
        ((), {"text_encoder", "denoiser", "decoder", "encoder"}),
    ],
    ids=["text", "denoiser", "codec", "all"],
)
def test_warm_loads_what_it_names(runtime, phases, names):
    runtime.warm(*phases)
    assert loaded(runtime) == names
    assert runtime.is_ready == (not phases)


def test_what_is_released_is_gone_and_comes_back(runtime, text_bundle):
    first = runtime.generate(RED)
    held = residents(runtime)
    sessions = {name: weakref.ref(held[name].engine()._opened.session) for name in loaded(runtime)}
    before = runtime.stats()["weight_bytes"]
    runtime.release(Phase.TEXT)
    gc.collect()
    assert sessions["text_encoder"]() is None, "nothing holds its weights any more"
    assert sessions["denoiser"]() is not None
    assert before - runtime.stats()["weight_bytes"] == weights(text_bundle)["text_encoder"]
    assert np.array_equal(pixels(runtime.generate(RED)), pixels(first)), "its prompt is cached"
    assert loaded(runtime) == {"denoiser", "decoder"}
    runtime.generate(BLUE)
    assert loaded(runtime) == {"text_encoder", "denoiser", "decoder"}
    stats = runtime.stats()
    assert (stats["loads"], stats["releases"]) == (4, 1)
    assert stats["weight_bytes"] == before


def test_without_a_name_everything_that_can_go_goes(runtime):
    first = runtime.generate(RED)
    runtime.release()
    assert loaded(runtime) == {"denoiser"}
    runtime.release()
    assert runtime.stats()["releases"] == 2, "what is not there is not released"
    assert np.array_equal(pixels(runtime.generate(RED)), pixels(first))
    assert loaded(runtime) == {"denoiser", "decoder"}


def test_what_is_to_be_released_never_stays(text_bundle, runtime):
    wanted = [pixels(runtime.generate(each)) for each in (RED, BLUE)]
    seen = []
    with Runtime.open(text_bundle, threads=1, releases=RELEASABLE) as thrifty:
        (loop,) = thrifty._crew.loops
        admit = loop.admit

        def watched(job):
            seen.append(loaded(thrifty))
            admit(job)

        loop.admit = watched
        found = [pixels(thrifty.generate(each)) for each in (RED, BLUE)]
        assert seen == [set(), {"denoiser"}], "texts leave before the denoiser comes"
        assert loaded(thrifty) == {"denoiser"}
        assert thrifty.stats()["releases"] == 4
    assert all(map(np.array_equal, found, wanted))


def test_a_batch_is_not_released_under_those_who_wait(text_bundle):
    requests = [Request("red apple", seed=n, steps=2) for n in range(6)]
    with Runtime.open(text_bundle, threads=1, releases=RELEASABLE, slots=2) as thrifty:
        results = thrifty.generate(requests)
    assert [result.error for result in results] == [None] * 6


def test_torch_does_the_same(text_bundle, runtime):
    wanted = runtime.generate(RED)
    with Runtime.open(text_bundle, devices=(Torch("cpu"),), threads=1) as opened:
        assert loaded(opened) == set()
        found = opened.generate(RED)
        opened.release(Phase.TEXT)
        assert loaded(opened) == {"denoiser", "decoder"}
        opened.generate(BLUE)
        assert loaded(opened) == {"text_encoder", "denoiser", "decoder"}
    assert np.abs(pixels(found).astype(int) - pixels(wanted)).max() <= 2


def test_a_half_denoiser_is_there_from_the_start(text_bundle):
    with Runtime.open(text_bundle, devices=(Torch("cpu", "bfloat16"),), threads=1) as opened:
        assert loaded(opened) == {"denoiser"}, "its ports follow from its graph"


def test_after_closing_nothing_is_held(text_bundle):
    with Runtime.open(text_bundle, threads=1) as opened:
        opened.generate(RED)
    assert loaded(opened) == set()
    assert opened.stats()["weight_bytes"] == 0
    with pytest.raises(EngineError, match="closed"):
        opened.release(Phase.TEXT)
    with pytest.raises(EngineError, match="'denoiser' is closed"):
        residents(opened)["denoiser"].engine()


@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
def test_weights_that_were_changed_end_the_request_that_needs_them(text_bundle, tmp_path, name):
    copy = shutil.copytree(text_bundle, tmp_path / "copy.bundle")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    (path,) = manifest["graphs"][name]["weights"]
    data = bytearray((copy / path).read_bytes())
    data[-5] ^= 1
    (copy / path).write_bytes(data)
    with Runtime.open(copy, threads=1) as opened:
        for _ in range(2):
            with pytest.raises(Tampered):
                opened.generate(RED)
        assert name not in loaded(opened)
        with pytest.raises(Tampered):
            opened.warm()
        assert opened.is_ready is False
        assert opened.stats()["requests_failed"] == 2


def test_an_engine_with_other_ports_than_promised_is_refused(runtime):
    deferred = runtime._crew.loops[0]._pools.first.denoisers[0].engine
    deferred._promised = (deferred.inputs[:1], deferred.outputs)
    with pytest.raises(BuildError, match="'denoiser' has the ports"):
        deferred.bind(1, {})


def test_phases_are_named_by_objects():
    assert phases_of(()) == tuple(Phase)
    assert phases_of([Phase.CODEC, Phase.TEXT, Phase.CODEC]) == (Phase.TEXT, Phase.CODEC)
    check_releasable(())
    with pytest.raises(InvalidInput, match="'text' is no phase"):
        phases_of(["text"])


def test_the_denoiser_stays(runtime):
    for call in (lambda: runtime.release(Phase.DENOISER), lambda: Options(releases=tuple(Phase))):
        with pytest.raises(InvalidInput, match="the denoiser stays in memory"):
            call()

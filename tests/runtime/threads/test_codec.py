"""Prompts before the ticks, pictures after them, on a thread of their own."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import CFG, Condition, Request, Runtime, Start, Trace
from denoisert.runtime.errors import Cancelled, DeadlineExceeded, EngineError, NonFinite, Overloaded
from denoisert.runtime.events import Preview
from denoisert.runtime.request import Limits
from denoisert.runtime.threads import loop as loops
from tests.runtime.bundles import watched_codec

PLAIN = Request("red apple", seed=5, steps=3, images=2)


@pytest.fixture(scope="module")
def watched(text_bundle):
    """A runtime and its codec's engines, for counting their runs and for faults in them."""
    opened, spies = watched_codec(text_bundle)
    with opened:
        yield opened, spies


@pytest.fixture
def runtime(watched):
    return watched[0]


@pytest.fixture
def spies(watched):
    yield watched[1]
    for spy in watched[1].values():
        spy.before = None


def test_words_become_pictures(runtime):
    result = runtime.generate(PLAIN)
    assert [image.size for image in result.images] == [(32, 32)] * 2
    assert result.pixels.shape == (2, 32, 32, 3)
    assert {"plan", "text", "queue", "ticks", "engine", "decode"} >= set(result.phases)
    assert result.phases["decode"] > 0
    assert result.notes == ()
    for kind, magic in (("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF")):
        files = result.encode(kind)
        assert [file[: len(magic)] for file in files] == [magic] * 2


def test_words_matter_and_a_picture_does_not_depend_on_its_neighbours(runtime):
    alone = runtime.generate(PLAIN)
    mixed = runtime.generate([Request("blue", seed=5, steps=7), PLAIN, Request("sea", steps=2)])
    assert np.array_equal(mixed[1].flat, alone.flat)
    assert np.array_equal(mixed[1].pixels, alone.pixels)
    other = runtime.generate(Request("blue", seed=5, steps=3, images=2))
    assert not np.array_equal(other.flat, alone.flat)


def test_known_prompts_do_not_pass_the_codec_again(runtime, spies):
    request = Request(Condition("a known prompt", negative="dull"), steps=2, guidance=CFG(2.0))
    first = runtime.generate(request)
    assert first.phases["text"] > 0
    hits, misses = (runtime.stats()[f"text_{name}"] for name in ("hits", "misses"))
    runs = len(spies["text_encoder"].runs)
    again = runtime.generate(request)
    assert len(spies["text_encoder"].runs) == runs
    assert "text" not in again.phases
    assert np.array_equal(first.flat, again.flat)
    assert runtime.stats()["text_hits"] == hits + 2
    assert runtime.stats()["text_misses"] == misses


def test_a_long_prompt_is_cut_and_the_result_says_so(runtime):
    (note,) = runtime.generate(Request("red " * 99, steps=2)).notes
    assert note.startswith("prompt truncated: ")
    ticket = runtime.submit(Request("x" * 10**5 + "\0", steps=2))
    assert ticket.result(60).notes


def test_a_picture_to_start_from_is_encoded_per_image(runtime):
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    near, far, noise = (
        runtime.generate(Request("red", seed=3, steps=8, images=2, start=start))
        for start in (Start(pixels, 0.2), Start(pixels, 0.9), None)
    )
    assert not np.array_equal(near.flat[0], near.flat[1])  # each has its own draw
    assert not np.array_equal(far.flat, noise.flat)
    one = Request("red", seed=3, steps=8, start=Start(Image.fromarray(pixels), 0.2))
    assert np.array_equal(runtime.generate(one).flat[0], near.flat[0])


def test_previews_of_latents_are_drawn_by_the_readout(runtime):
    seen = [event for event in runtime.submit(PLAIN, previews=1).events() if type(event) is Preview]
    assert {event.image for event in seen} == {0, 1}
    assert all(event.picture.size == (8, 8) for event in seen)


def test_requests_that_come_together_are_encoded_together(runtime, spies):
    spy = spies["text_encoder"]
    runtime.generate(PLAIN)  # the empty prompt of the uncond branch is known from here on
    first = len(spy.runs)
    spy.before = lambda _: time.sleep(0.05)
    tickets = [runtime.submit(Request(f"word {i} together", steps=2)) for i in range(6)]
    for ticket in tickets:
        ticket.result(60)
    calls = spy.runs[first:]
    assert sum(calls) == 6  # each prompt once
    assert len(calls) < 6


@pytest.mark.parametrize("component", ["text_encoder", "decoder"])
def test_a_failing_codec_ends_its_request_only(runtime, spies, component):
    wanted = runtime.generate(PLAIN)
    spies[component].failing.add(len(spies[component].runs) + 1)
    with pytest.raises(EngineError, match="injected"):
        runtime.generate(Request(f"never seen {component}", steps=2))
    assert np.array_equal(runtime.generate(PLAIN).pixels, wanted.pixels)


def test_a_picture_that_overflows_in_the_decoder_is_an_error(runtime, spies):
    spies["decoder"].before = lambda buffers: buffers["latent"].fill(np.inf)
    with pytest.raises(NonFinite):
        runtime.generate(PLAIN)


def test_what_waits_for_the_decoder_can_still_end_early(text_bundle):
    """Cancelled or expired while another picture is decoded: it is not decoded any more."""
    opened, spies = watched_codec(text_bundle)
    with opened as runtime:
        runtime.generate(PLAIN)
        spy, gate = spies["decoder"], threading.Event()
        known = len(spy.runs)
        spy.before = lambda _: gate.wait(60)
        first = runtime.submit(Request("red apple", steps=2))
        while len(spy.runs) == known:
            time.sleep(0.001)
        cancelled = runtime.submit(Request("red apple", steps=2))
        expired = runtime.submit(Request("red apple", steps=2, limits=Limits(deadline_s=0.5)))
        with pytest.raises(DeadlineExceeded):
            expired.result(60)
        cancelled.cancel()
        with pytest.raises(Cancelled):
            cancelled.result(60)
        assert not first.is_done
        gate.set()
        assert len(first.result(60).images) == 1
        assert runtime.generate(PLAIN).images
        assert spy.runs[known:] == [1, 2]


def test_a_slow_decoder_holds_new_requests_back(text_bundle, monkeypatch):
    """Latents do not pile up without bound: what comes later waits, and in the end is refused."""
    monkeypatch.setattr(loops, "MOST_UNDECODED", 2)
    opened, spies = watched_codec(text_bundle, queue=3)
    with opened as runtime:
        runtime.generate(PLAIN)
        gate = threading.Event()
        spies["decoder"].before = lambda _: gate.wait(60)
        tickets = []
        try:
            while runtime.stats()["requests_waiting"] < 3:
                tickets.append(runtime.submit(Request("red apple", steps=2)))
                time.sleep(0.1)
            with pytest.raises(Overloaded):
                runtime.submit(Request("red apple", steps=2))
            assert len(tickets) <= 8 + 3 + 1 + 3  # in slots, before and in the decoder, waiting
            assert runtime.stats()["requests_waiting"] == 3
        finally:
            gate.set()
        assert all(len(ticket.result(60).images) == 1 for ticket in tickets)


def test_the_codec_has_rows_in_a_trace(runtime):
    trace = Trace()
    runtime.generate(Request("something new for the trace", steps=2), trace=trace)
    names = {(span.track, span.name) for span in trace.spans}
    assert names >= {("codec", "text"), ("codec", "decode")}


def test_codec_times_are_counted(runtime):
    before = runtime.stats()
    runtime.generate(Request("counted words", steps=2))
    after = runtime.stats()
    assert after["text_ms"] > before["text_ms"]
    assert after["decode_ms"] > before["decode_ms"]


def test_a_digits_like_bundle_has_no_codec_thread(toy):
    with Runtime.open(toy, threads=1) as runtime:
        assert runtime._crew.codecs == []
        assert runtime.stats()["text_hits"] == 0

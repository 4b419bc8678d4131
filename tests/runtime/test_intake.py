"""From a request to a job, in the caller's thread."""

import threading
import time

import numpy as np
import pytest

from denoisert.runtime import CFG, Request, Runtime, Start, Trace
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Limits
from denoisert.runtime.threads.mailbox import Mailbox


@pytest.fixture(scope="module")
def runtime(text_bundle):
    with Runtime.open(text_bundle, threads=1) as opened:
        yield opened


@pytest.fixture
def intake(runtime):
    return runtime._intake


def job(intake, request, previews=0, traces=()):
    return intake.job(request, previews, Mailbox(), traces)


def test_unknown_prompts_wait_for_the_codec_and_known_ones_do_not(runtime, intake):
    request = Request("words for the intake", steps=2, guidance=CFG(2.0))
    assert not job(intake, request).is_ready
    runtime.generate(request)
    known = job(intake, request)
    assert known.is_ready
    assert [values["hidden_states"].shape for values in known.conditions] == [(16, 32)] * 2


def test_pictures_to_start_from_wait_for_the_codec(runtime, intake):
    pixels = np.zeros((32, 32, 3), np.uint8)
    runtime.generate(Request("red", steps=2))
    assert job(intake, Request("red", steps=2)).sources == []
    assert not job(intake, Request("red", steps=2, start=Start(pixels, 0.5))).is_ready
    latent = np.zeros((4, 8, 8), np.float32)
    started = job(intake, Request("red", steps=2, images=3, start=Start(latent, 0.5)))
    assert [source.shape for source in started.sources] == [(1, 256)] * 3
    assert started.is_ready


def test_numbers_differ_between_threads(intake):
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(job(intake, Request("red")).number for _ in range(20))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(found)) == 80


def test_time_and_deadline_count_from_the_beginning_of_planning(intake, monkeypatch):
    plan = intake.planner.plan
    monkeypatch.setattr(intake.planner, "plan", lambda *a: time.sleep(0.05) or plan(*a))
    before = time.perf_counter_ns()
    found = job(intake, Request("red", limits=Limits(deadline_s=2.0)))
    assert before <= found.submitted_ns <= found.queued_ns - 50e6
    assert found.deadline_ns == found.submitted_ns + 2e9
    assert found.phases["plan"] >= 50


def test_an_impossible_request_makes_no_job_and_no_span(intake):
    trace = Trace()
    with pytest.raises(InvalidInput):
        job(intake, Request("\ud800"), traces=(trace,))
    assert trace.spans == []
    found = job(intake, Request("red"), traces=(trace,))
    assert [(span.name, span.track) for span in trace.spans] == [
        ("plan", f"request {found.number}")
    ]


def test_works_carry_what_the_request_says(runtime, intake):
    runtime.generate(Request("red", steps=2))
    request = Request("red", seed=9, steps=2, images=3, limits=Limits(priority=4))
    works = job(intake, request, previews=1).works()
    assert [work.image for work in works] == [0, 1, 2]
    assert {(work.seed, work.priority, work.previews) for work in works} == {(9, 4, 1)}
    assert all(work.externals == {} for work in works)


def test_bytes_grow_with_pictures(intake):
    one, three = (job(intake, Request("red", images=n)).nbytes for n in (1, 3))
    latent, pixels = 4 * 8 * 8 * 4, 32 * 32 * 3
    assert 2 * (2 * latent + pixels) < three - one < 2 * (12 * latent + pixels)


def test_the_prompts_to_warm_with_are_those_of_the_uncond_branch(intake):
    (prompt,) = intake.nulls()
    assert prompt.encoder == "text_encoder"
    assert prompt.filled == 2

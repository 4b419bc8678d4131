"""docs/embedding.md runs: its forty lines behind a uvicorn process, with real clients; its edit."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

from denoisert import runtime
from denoisert.export import compile_bundle
from denoisert.export.compile import find_source

PAGE = Path(__file__).parent.parent / "docs" / "embedding.md"
LONG = 500  # steps: about half a second of one core for each picture
MANY = 64  # more than the queue and the slots of the page hold together


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory):
    """digits whose recommended sampler takes long enough to be interrupted."""
    card = find_source("digits", None).card
    out = tmp_path_factory.mktemp("slow") / "digits.bundle"
    compile_bundle("digits", out, card=replace(card, sampler=replace(card.sampler, steps=LONG)))
    return out


def code(example=0):
    """The app, or the edit."""
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 2
    return found[example]


@contextmanager
def served(bundle, folder):
    """The page's app in a process of its own; yields its address and the process."""
    (folder / "app.py").write_text(code())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    command += ["--timeout-graceful-shutdown", "60", "--log-level", "warning"]
    environment = {**os.environ, "DENOISERT_BUNDLE": str(bundle)}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(condition, seconds=60):
    """Wait for something another process does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def ready(address):
    try:
        answer = httpx.get(f"{address}/ready", timeout=30)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == 200 else None


def stats(address):
    return httpx.get(f"{address}/ready", timeout=30).json()


async def flood(address, count, **fields):
    """Ask for many pictures at once; returns every answer."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        asked = [
            client.post("/generate", json={"prompt": number % 10, "seed": number, **fields})
            for number in range(count)
        ]
        return await asyncio.gather(*asked)


def test_the_page_has_at_most_forty_lines_of_code():
    lines = [line for line in code().splitlines() if line.strip()]
    assert len(lines) <= 40
    assert PAGE.read_text().count("forty lines") == 1


def test_the_edit_gives_the_picture_again_and_another_class(digits_bundle, monkeypatch):
    from denoisert.export.zoo.digits.quality import classify  # scikit-learn

    monkeypatch.setenv("DENOISERT_BUNDLE", str(digits_bundle))
    names = {}
    exec(compile(code(1), str(PAGE), "exec"), names)
    again, edited, picture = names["again"], names["edited"], names["picture"]
    assert np.abs(again.flat[0] - picture).max() <= 1e-4 * np.abs(picture).max()
    seen = classify(np.concatenate([again.latents["latent"], edited.latents["latent"]]))
    assert seen.tolist() == [3, 8]


def test_the_tables_name_calls_that_exist():
    """Every call in its code spans of both is made, with what the page leaves to the reader."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    spans = [span for row in rows for span in re.findall(r"`([^`]*\))`", row)]
    told = {name: getattr(runtime, name) for name in runtime.__all__}
    page = np.zeros((1, 4))
    told |= {"latent": page[0], "s": 0.5, "arrays": {"v3_step_latent": page}, "steps": 4}
    told |= {"picture": np.zeros((8, 8, 3), np.uint8), "mask": np.ones((8, 8), bool)}
    told |= {"strength": 0.5, "solver": runtime.DDIM()}
    told["up"] = SimpleNamespace(flat=page, tapes=((page,),))
    calls = [span for span in spans if "grid" not in span]
    assert len(calls) == 21
    for call in calls:
        assert eval(f"dict({call})" if call.startswith("solver=") else call, told) is not None


def test_ready_then_pictures_and_clear_refusals(digits_bundle, tmp_path):
    with served(digits_bundle, tmp_path) as (address, _):
        until(lambda: ready(address))
        answer = httpx.post(f"{address}/generate", json={"prompt": 3, "seed": 7}, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size == (16, 16)
        again = httpx.post(f"{address}/generate", json={"prompt": 3, "seed": 7}, timeout=60)
        assert again.content == answer.content
        for wrong in ({}, {"prompt": 99}, {"prompt": 3, "seed": -1}):
            refused = httpx.post(f"{address}/generate", json=wrong, timeout=60)
            assert (refused.status_code, "error" in refused.json()) == (400, True)
        assert httpx.post(f"{address}/generate", content=b"{", timeout=60).status_code == 400


def test_a_full_queue_answers_503_and_every_accepted_request_ends(slow_bundle, tmp_path):
    with served(slow_bundle, tmp_path) as (address, _):
        until(lambda: ready(address))
        answers = asyncio.run(flood(address, MANY, deadline_s=2))
        codes = [answer.status_code for answer in answers]
        assert 503 in codes
        assert set(codes) <= {200, 503, 504}  # how many end in time is the machine's business
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert "full" in refused.json()["error"] or "wait" in refused.json()["error"]
        found = stats(address)
        assert found["requests_done"] == codes.count(200)
        assert found["requests_refused"] == codes.count(503)
        assert found["requests_expired"] == codes.count(504)
        after = httpx.post(f"{address}/generate", json={"prompt": 3}, timeout=60)
        assert after.status_code == 200


def test_a_client_that_goes_frees_its_place(slow_bundle, tmp_path):
    with served(slow_bundle, tmp_path) as (address, _):
        until(lambda: ready(address))
        port = int(address.rsplit(":", 1)[1])
        body = json.dumps({"prompt": 3}).encode()
        head = f"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head.encode() + body)
            until(lambda: stats(address)["requests_running"] == 1)
        until(lambda: stats(address)["requests_cancelled"] == 1, seconds=10)
        assert stats(address)["requests_running"] == 0


def test_a_deadline_that_passes_is_504(slow_bundle, tmp_path):
    with served(slow_bundle, tmp_path) as (address, _):
        until(lambda: ready(address))
        asked = {"prompt": 3, "deadline_s": 0.05}
        late = httpx.post(f"{address}/generate", json=asked, timeout=60)
        assert late.status_code == 504


def test_sigterm_lets_open_requests_finish(slow_bundle, tmp_path):
    async def stop_while_running(address, process):
        asked = asyncio.create_task(flood(address, 4))
        while (await asyncio.to_thread(stats, address))["requests_running"] == 0:
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        return await asked

    with served(slow_bundle, tmp_path) as (address, process):
        until(lambda: ready(address))
        answers = asyncio.run(stop_while_running(address, process))
        assert [answer.status_code for answer in answers] == [200] * 4
        assert process.wait(60) in (0, -signal.SIGTERM)  # uvicorn raises the signal again

"""A peer in a process of its own answers with what it drew and how long that took."""

import os
import sys

import numpy as np
import pytest

from bench.peers.process import Peer, PeerEnded
from bench.peers.serve import answer, peak_mib
from bench.peers.work import REQUESTS, SEEDS, jobs

# A peer that draws its seeds, so that an answer shows which jobs reached it.
SPEAKER = """
import sys
import numpy as np
from bench.peers.serve import arguments, run
def draw(work, noise):
    print("what a library prints")
    return [np.full((2, 2, 3), job.seed + noise[job.seed].sum(), np.uint8) for job in work]
run(arguments(("plain",)), lambda: draw)
"""


@pytest.fixture
def noise(tmp_path):
    path = tmp_path / "noise.npz"
    np.savez(path, **{str(seed): np.ones(4, np.float32) for seed in SEEDS})
    return path


def speaker(noise, task):
    command = [sys.executable, "-c", SPEAKER, "--folder", ".", "--noise", str(noise)]
    return Peer([*command, "--task", task], os.environ, noise.parent / "log.txt")


def test_a_peer_answers_task_after_task(noise, tmp_path):
    with speaker(noise, "serve") as peer:
        assert peer.answer()["load_s"] >= 0
        first = peer.ask({"task": "one"})
        second = peer.ask({"task": "equal", "first": 9, "pictures": str(tmp_path / "p.npz")})
    assert first["ms"] >= 0
    assert second["done"] > first["done"] > peer.started
    assert first["peak_mib"] > 1
    with np.load(tmp_path / "p.npz") as stored:
        assert stored["pictures"].shape == (REQUESTS, 2, 2, 3)
        assert stored["pictures"][:, 0, 0, 0].tolist() == [seed + 4 for seed in SEEDS]
    assert "what a library prints" in (tmp_path / "log.txt").read_text()


def test_a_fresh_peer_draws_one_picture_and_ends(noise):
    with speaker(noise, "cold") as peer:
        reply = peer.answer()
        assert reply["done"] > peer.started
        with pytest.raises(PeerEnded, match="a peer ended"):
            peer.answer()


def test_a_peer_that_fails_is_shown_with_its_log(noise):
    with speaker(noise, "serve") as peer:
        peer.answer()
        with pytest.raises(PeerEnded, match="no task 'none'"):
            peer.ask({"task": "none"})
        with pytest.raises(PeerEnded, match="before"):
            peer.ask({"task": "one"})


def test_answer_times_the_drawing_only(noise):
    seen = []
    reply = answer(lambda work, start: seen.append((work, start)) or [], noise, {"task": "mixed"})
    (work, start) = seen[0]
    assert work == jobs("mixed")
    assert set(start) == set(SEEDS)
    assert reply["peak_mib"] <= peak_mib()

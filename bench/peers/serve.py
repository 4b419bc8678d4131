"""The side of a peer: runs in the peer's own environment, answers with one JSON line a task.

    python -m bench.peers.peer_X --folder FOLDER --noise NOISE.npz --task one|mixed|equal|cold
    python -m bench.peers.peer_X --folder FOLDER --noise NOISE.npz --task serve

`serve` loads once, then reads tasks from standard input: {"task", "first", "pictures"} a line.
NumPy and a peer's libraries are imported after the clock of this process has started.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from bench.peers.work import TASKS, Job, jobs

# (jobs, noise by seed) -> one picture (H, W, 3) uint8 a job; the clock runs around it.
Draw = Callable[[Sequence[Job], Mapping[int, Any]], Sequence[Any]]


def peak_mib() -> float:
    """Most memory this process ever held, MiB.

    The kernel's own mark: getrusage would count what the parent held when it started us.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def arguments(forms: Sequence[str]) -> argparse.Namespace:
    """The command line of a peer; the first of its forms is the default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="what this peer loads")
    parser.add_argument("--noise", type=Path, required=True, help="start noise by seed (.npz)")
    parser.add_argument("--form", choices=forms, default=forms[0], help="how it computes")
    parser.add_argument("--task", choices=(*TASKS, "cold", "serve"), default="one")
    parser.add_argument("--pictures", help="where to store what was drawn (.npz)")
    return parser.parse_args()


def run(options: argparse.Namespace, load: Callable[[], Draw]) -> None:
    """Load the peer and answer on standard output.

    Args:
        options: from `arguments`.
        load: makes the peer ready for its first picture.
    """
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not mix with the answers
    began = time.monotonic()
    draw = load()
    loaded_s = time.monotonic() - began
    if options.task != "serve":
        asked = {"task": options.task, "pictures": options.pictures}
        _say(answers, {"load_s": loaded_s, **answer(draw, options.noise, asked)})
        return
    _say(answers, {"load_s": loaded_s})
    for line in sys.stdin:
        _say(answers, answer(draw, options.noise, json.loads(line)))


def answer(draw: Draw, noise: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Draw the pictures of one task.

    Args:
        draw: the peer.
        noise: file of start noise by seed.
        asked: "task", and, if wanted, "first" and "pictures".

    Returns:
        "ms" of the drawing, "done" on the clock that all processes share, "peak_mib".
    """
    import numpy as np

    task = "one" if asked["task"] == "cold" else asked["task"]
    work = jobs(task, asked.get("first", 0))
    with np.load(noise) as stored:
        start = {job.seed: stored[str(job.seed)] for job in work}
    began = time.monotonic()
    drawn = draw(work, start)
    done = time.monotonic()
    reply = {"ms": 1e3 * (done - began), "done": done, "peak_mib": peak_mib()}
    if asked.get("pictures"):
        np.savez(asked["pictures"], pictures=np.stack([np.asarray(each) for each in drawn]))
    return reply


def _say(answers: TextIO, reply: Mapping[str, Any]) -> None:
    answers.write(json.dumps(reply) + "\n")
    answers.flush()

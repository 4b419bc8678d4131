"""What a target's precision costs in pictures: the demo models' own measures, on every target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from bench.case import Extra, Setting, summary
from bench.peers.provider import TARGETS, ours
from bench.quality import digits, emoji
from bench.quality.yardstick import Yardstick, standard_error
from bench.targets.subject import Subject
from denoisert.runtime import Result, Runtime
from denoisert.runtime.engines.target import engine_key
from denoisert.runtime.measure.record import Record

YARDSTICKS = {"digits": replace(digits.YARDSTICK, images=10), "emoji": emoji.YARDSTICK}


def measure(subject: Subject, setting: Setting, *, threads: int) -> Iterator[Record]:
    """Draw what the demo model is asked for on every target that its bundle has.

    Args:
        subject: a demo model; there is a measure for no other.
        setting: of the records.
        threads: of the runtime.

    Yields:
        A record for each target: its distance, and how far it is from the first, float32.
    """
    yardstick = YARDSTICKS[subject.place.model]
    bundle, truth = subject.bundle(), None
    for target in TARGETS:
        if engine_key(target) not in bundle.manifest.engines:
            continue
        with Runtime.open(bundle.root, devices=(target,), threads=threads) as runtime:
            results, ms = _drawn(runtime, yardstick)
        scores, flat = yardstick.score(results), _flat(results)
        truth = flat if truth is None else truth
        extra: Extra = {
            "right": float(scores.hits.mean()),
            "right_se": float(f"{standard_error(scores.hits):.2g}"),
            "rms_to_float32": float(f"{np.sqrt(((flat - truth) ** 2).mean()):.3g}"),
            "ms_a_picture": float(f"{ms / len(flat):.4g}"),
            "median_is": yardstick.distance,
        }
        case = f"targets/pictures {yardstick.name}"
        record = summary(
            case, ours(target).name, [*scores.distance], setting, unit="rms", warm_up=0, extra=extra
        )
        yield replace(record, dtype=target.dtype)


def _drawn(runtime: Runtime, yardstick: Yardstick) -> tuple[list[Result], float]:
    """The results, and the milliseconds that they took."""
    requests = yardstick.requests(None)
    began = perf_counter()
    results = runtime.generate(requests)
    for result in results:
        if result.error is not None:
            raise result.error
    return results, 1e3 * (perf_counter() - began)


def _flat(results: list[Result]) -> NDArray[np.float64]:
    """(pictures, elements)."""
    return np.concatenate([result.flat for result in results]).astype(np.float64)

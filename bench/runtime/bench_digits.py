"""Digits end to end, in turns: ours, a plain torch loop, and diffusers' scheduler in that loop.

Milliseconds per picture with 25 guided Euler steps on the same number of threads. Beside each time
stand the share of 200 pictures that show the class asked for, and the largest difference from the
torch loop when both start from the same noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from bench.case import Case, Run, Setting, Size, summary
from bench.run import run
from bench.runtime import torch_loop
from bench.runtime.same_noise import LOOPS, STEPS, Sample, request, same_noise_pictures
from denoisert.export.zoo.digits.model import DigitsDiT
from denoisert.export.zoo.digits.quality import agreement
from denoisert.runtime import Runtime
from denoisert.runtime.measure.clock import interleaved
from denoisert.runtime.measure.record import Record

ROUNDS = {Size.FULL: (1, 4), Size.TINY: (0, 1)}


def cases(size: Size) -> list[Case]:
    """Pictures one after the other, then sixteen requests at once."""
    one, many, judged = (40, 16, 200) if size is Size.FULL else (1, 2, 10)
    return [
        Case(
            f"runtime/digits {one} pictures one at a time",
            partial(_measure, images=one, batch=1, judged=judged),
        ),
        Case(
            f"runtime/digits {many} requests at once",
            partial(_measure, images=many, batch=many, judged=judged),
        ),
    ]


def _measure(
    case: str, setting: Setting, *, images: int, batch: int, judged: int
) -> Iterator[Record]:
    network = torch_loop.load(setting.machine.cores)
    with Runtime.open(setting.bundle, threads=setting.machine.cores) as runtime:
        runs: dict[str, Run] = {"denoisert": partial(_ours, runtime, images, batch)}
        runs |= {name: partial(_loop, loop, network, images, batch) for name, loop in LOOPS.items()}
        warm_up, repeats = ROUNDS[setting.size]
        chosen = setting.chosen(runs)
        times = interleaved(chosen, warm_up=warm_up, repeats=repeats)
        pictures = same_noise_pictures(runtime, network, judged)
    truth, labels = pictures["torch"], np.arange(judged) % 10
    for provider, values in times.items():
        extra: dict[str, float | str] = {
            "class_agreement": agreement(pictures[provider], labels),
            "judged": float(judged),
            "max_difference": float(np.abs(pictures[provider] - truth).max()),
            "nfe": 2.0 * STEPS,
        }
        each = [value / images for value in values]
        yield summary(case, provider, each, setting, warm_up=warm_up, extra=extra)


def _ours(runtime: Runtime, images: int, batch: int) -> None:
    """Requests of one picture each, `batch` of them in one call."""
    requests = [request(number, number % 10) for number in range(images)]
    for first in range(0, images, batch):
        runtime.generate(requests[first : first + batch])


def _loop(sample: Sample, network: DigitsDiT, images: int, batch: int) -> None:
    for first in range(0, images, batch):
        labels = [(first + number) % 10 for number in range(batch)]
        sample(network, torch_loop.noise(batch, first), labels, STEPS)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

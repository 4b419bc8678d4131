"""The shape of SDXL with Euler, 20 steps, guided: one picture and four."""

from __future__ import annotations

from bench.case import Case, Size
from bench.loop import schedulers
from bench.loop.case import loop_cases
from bench.loop.job import Job
from bench.loop.shapes.unet import SDXL, TINY_SDXL
from bench.run import run
from denoisert.runtime.sampling.solvers import Euler

GUIDANCE = 5.0


def cases(size: Size) -> list[Case]:
    """One picture and four; TINY takes two pictures of a toy in 3 steps."""
    if size is Size.TINY:
        return loop_cases("sdxl", [Job(TINY_SDXL, Euler(), schedulers.Euler, 3, GUIDANCE, 2)])
    return loop_cases(
        "sdxl", [Job(SDXL, Euler(), schedulers.Euler, 20, GUIDANCE, count) for count in (1, 4)]
    )


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

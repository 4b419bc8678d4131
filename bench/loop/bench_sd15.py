"""The shape of SD 1.5 with DPM-Solver++(2M), 20 steps, guided: one picture and four."""

from __future__ import annotations

from bench.case import Case, Size
from bench.loop import schedulers
from bench.loop.case import loop_cases
from bench.loop.job import Job
from bench.loop.shapes.unet import SD15, TINY_SD15
from bench.run import run
from denoisert.runtime.sampling.solvers import DPMpp2M

GUIDANCE = 7.5


def cases(size: Size) -> list[Case]:
    """One picture and four; TINY takes two pictures of a toy in 3 steps."""
    if size is Size.TINY:
        return loop_cases("sd15", [Job(TINY_SD15, DPMpp2M(), schedulers.DPMpp2M, 3, GUIDANCE, 2)])
    return loop_cases(
        "sd15", [Job(SD15, DPMpp2M(), schedulers.DPMpp2M, 20, GUIDANCE, count) for count in (1, 4)]
    )


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

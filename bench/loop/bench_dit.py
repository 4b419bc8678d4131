"""The shape of DiT-XL/2 with DDIM, 20 steps, guided: one picture and four."""

from __future__ import annotations

from bench.case import Case, Size
from bench.loop import schedulers
from bench.loop.case import loop_cases
from bench.loop.job import Job
from bench.loop.shapes.dit import DIT_XL, TINY_DIT
from bench.run import run
from denoisert.runtime.sampling.solvers import DDIM

GUIDANCE = 4.0


def cases(size: Size) -> list[Case]:
    """One picture and four; TINY takes two pictures of a toy in 4 steps."""
    if size is Size.TINY:
        return loop_cases("dit", [Job(TINY_DIT, DDIM(), schedulers.DDIM, 4, GUIDANCE, 2)])
    return loop_cases(
        "dit", [Job(DIT_XL, DDIM(), schedulers.DDIM, 20, GUIDANCE, count) for count in (1, 4)]
    )


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

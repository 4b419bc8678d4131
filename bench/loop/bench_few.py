"""DiT-S/2 in four unguided steps: where launches cost more than arithmetic."""

from __future__ import annotations

from bench.case import Case, Size
from bench.loop import schedulers
from bench.loop.case import loop_cases
from bench.loop.job import Job
from bench.loop.shapes.dit import DIT_S, TINY_DIT
from bench.run import run
from denoisert.runtime.sampling.solvers import DDIM

STEPS = 4


def cases(size: Size) -> list[Case]:
    """One picture and four; TINY takes one of a toy."""
    shape, counts = (DIT_S, (1, 4)) if size is Size.FULL else (TINY_DIT, (1,))
    return loop_cases(
        "few", [Job(shape, DDIM(), schedulers.DDIM, STEPS, 1.0, each) for each in counts]
    )


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

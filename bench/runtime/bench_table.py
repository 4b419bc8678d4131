"""Compiling a sampler table: grid, rows and fold, per solver and number of steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.case import Case, Setting, Size, summary, timed
from bench.run import run
from bench.runtime.bench_tick import SOLVERS
from denoisert.runtime import CFG, Trailing
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.measure.record import Record
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.solvers import Solver

STEPS = (25, 50)


def cases(size: Size) -> list[Case]:
    """Every solver at 25 and 50 steps; TINY takes one."""
    solvers = SOLVERS if size is Size.FULL else SOLVERS[:1]
    return [
        Case(
            f"runtime/table {type(solver).__name__} {steps} steps",
            partial(_measure, solver=solver, steps=steps),
        )
        for solver in solvers
        for steps in STEPS
    ]


def _measure(case: str, setting: Setting, *, solver: Solver, steps: int) -> Iterator[Record]:
    card = Bundle.open(setting.bundle).card
    sampler = Sampler(solver, Trailing(), steps, CFG(2.0))
    table = compile_table(sampler, card)
    for provider, values in timed(
        {"denoisert": lambda: compile_table(sampler, card)}, setting
    ).items():
        yield summary(case, provider, values, setting, extra={"stages": float(table.stages)})


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

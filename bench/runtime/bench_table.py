"""Compiling a sampler table: grid, rows and fold, for every solver at 50 steps with guidance."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.case import Case, Setting, Size, summary, timed
from bench.run import run
from denoisert.runtime import CFG, Exponential, Final, Flow, Linear, ResidualBridgePath, Trailing
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.record import Record
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.table import SamplerTable

STEPS = 50
SHORTCUT_STEPS = 64  # a power of two
AIM_MS = 50.0
PATHS = (
    (Linear(), Trailing()),
    (Linear(), Exponential(0.03, 100.0, Final.SPACED)),
    (Flow(), Trailing()),
    (ResidualBridgePath(), Trailing()),
)


def cases(size: Size) -> list[Case]:
    """Every named solver; TINY takes two."""
    names = list(SOLVERS) if size is Size.FULL else ["euler", "unipc"]
    return [
        Case(f"runtime/table {name} {STEPS} steps", partial(_measure, solver=SOLVERS[name]()))
        for name in names
    ]


def _measure(case: str, setting: Setting, *, solver: Solver) -> Iterator[Record]:
    table, build = _fitting(solver)
    for provider, values in timed({"denoisert": build}, setting).items():
        extra = {"stages": float(table.stages), "aim_ms": AIM_MS}
        yield summary(case, provider, values, setting, extra=extra)


def _fitting(solver: Solver) -> tuple[SamplerTable, partial[SamplerTable]]:
    """The table on the first path that the solver takes, and what builds it."""
    for schedule, spacing in PATHS:
        for steps in (STEPS, SHORTCUT_STEPS):
            build = partial(_build, solver, schedule, spacing, steps)
            try:
                return build(), build
            except InvalidInput:
                continue
    raise InvalidInput(f"{solver} takes none of the paths measured.")


def _build(solver: Solver, schedule: NoiseSchedule, spacing: Spacing, steps: int) -> SamplerTable:
    parametrisation = Parametrisation.X0 if schedule.noise_gain == 0.0 else Parametrisation.V
    return fold(solver.rows(spacing.grid(schedule, steps)), parametrisation, CFG(2.0))


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

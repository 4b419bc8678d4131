"""How far solvers are from the truth after so many evaluations, on an oracle or on a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.subject import Subject, rms
from denoisert.runtime.sampling.oracle import sliced_wasserstein
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.table import SamplerTable

REFUSALS = (ValueError, ArithmeticError)  # InvalidInput, InvalidTable, NonFinite, singular systems


@dataclass(frozen=True, slots=True)
class Outcome:
    """One solver at one number of steps.

    Args:
        solver: as it is called.
        steps: N.
        evaluations: of one branch; what steps and solver really cost.
        nfe: of all branches.
        rms: root mean square difference to the truth from the same noise.
        distance: sliced Wasserstein distance of the samples to the true ones, as sets.
        is_random: the solver draws noise on its way, so that only the distance tells its quality.
    """

    solver: str
    steps: int
    evaluations: int
    nfe: int
    rms: float
    distance: float
    is_random: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """A solver that does not run at a number of evaluations.

    Args:
        solver: as it is called.
        evaluations: that were asked for.
        reason: its refusal.
    """

    solver: str
    evaluations: int
    reason: str


def is_random(table: SamplerTable) -> bool:
    """Whether a table draws noise after its start."""
    return bool(table.draws[1:].any())


def most_accurate(tables: Subject, solvers: Mapping[str, Solver], steps: int) -> tuple[str, Solver]:
    """The deterministic solver of highest order that runs; among equals that of fewest evaluations.

    A multistep method counts as one of order 2 at most: its first steps leave it there on fine
    grids, whatever the order of its whole steps.

    Args:
        tables: where they have to run.
        solvers: by name.
        steps: how many they have to take.

    Raises:
        InvalidInput: none runs; the message has the first refusal.
    """
    refusal = "there is no solver"
    for name, solver in sorted(solvers.items(), key=_rank):
        try:
            if not is_random(tables.table(solver, steps)):
                return name, solver
            refusal = f"{name} draws noise"
        except REFUSALS as error:
            refusal = f"{name}: {error}"
    raise InvalidInput(
        f"no deterministic solver runs {steps} steps here ({refusal}). Ask for a reference of "
        "fewer steps."
    )


def _rank(item: tuple[str, Solver]) -> tuple[int, int]:
    """Least for the most accurate."""
    order, evaluations = item[1].order, item[1].evaluations_per_step
    return -(order if evaluations >= order else min(order, 2)), evaluations


def trials(
    subject: Subject, name: str, solver: Solver, evaluations: Sequence[int]
) -> Iterator[Outcome | Skipped]:
    """Try one solver at several costs.

    Args:
        subject: what it is tried on.
        name: what the solver is called.
        solver: how a step is taken.
        evaluations: most that a run may cost, of one branch; the solver takes as many steps as fit.
            Costs that come to the same steps are tried once.

    Yields:
        What became of each.
    """
    tried = set()
    for asked in evaluations:
        steps = affordable(subject, solver, asked)
        if steps < 1:
            reason = f"a step takes up to {solver.evaluations_per_step} evaluations"
            yield Skipped(name, asked, reason)
        elif steps not in tried:
            tried.add(steps)
            try:
                yield _tried(subject, name, solver, steps)
            except REFUSALS as error:
                yield Skipped(name, asked, f"{error}" or type(error).__name__)


def affordable(subject: Subject, solver: Solver, evaluations: int) -> int:
    """The most steps that cost no more; 0 where none do, any number where all are refused.

    A step asks up to `evaluations_per_step` times, and often some of them ask less.
    """
    most = evaluations // solver.evaluations_per_step
    if solver.evaluations_per_step == 1:
        return most
    for steps in range(max(1, most), evaluations + 1):
        try:
            cost = subject.table(solver, steps).stages
        except REFUSALS:
            continue
        if cost > evaluations:
            break
        most = steps
    return most


def _tried(subject: Subject, name: str, solver: Solver, steps: int) -> Outcome:
    table = subject.table(solver, steps)
    found, truth = subject.samples(solver, steps), subject.truth(solver, steps)
    if not np.isfinite(found).all():
        raise InvalidInput(f"{steps} steps end in numbers that are not finite.")
    return Outcome(
        name,
        steps,
        table.stages,
        table.nfe,
        rms(found - truth),
        sliced_wasserstein(found, truth),
        is_random(table),
    )

"""Through a compiled bundle: a learned variance, and numbers beside the time."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from denoisert.runtime import CFG, Condition, Request, Runtime
from denoisert.runtime.errors import InvalidInput
from tests.runtime.bundles import compiled, watched
from tests.runtime.networks import NULL, perceptron
from tests.runtime.shared import told_rows, told_table, variance_rows, variance_table
from tests.runtime.spies import bound, error, exact, work


@dataclass(frozen=True)
class Learned:
    """Noise of a learned size."""

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def rows(self, grid):
        return variance_rows(grid)


@dataclass(frozen=True)
class Told:
    """Euler that tells how far it goes, times a factor, and where it ends."""

    factor: float = 1.0
    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    def numbers(self, times):
        return [(self.factor * (t - s), s) for t, s in pairwise(times)]

    def rows(self, grid):
        return told_rows(grid, self.numbers(grid.sigma))


def compared(toy, runtime, request, table):
    """A picture against the float64 reference of its table."""
    found = runtime.generate(request)
    each = work(table, (3, NULL), seed=request.seed)
    wanted = exact(toy, each, (3, NULL))
    assert found.nfe == runtime.plan(request).nfe == wanted.evaluations
    assert error(np.ravel(found.flat[0]), wanted.latent) <= bound(table)
    return found.flat[0]


@pytest.mark.parametrize("guidance", [CFG(1.0), CFG(2.0)], ids=repr)
def test_a_learned_variance_runs_once_a_lane(guidance, tmp_path):
    toy = perceptron(seed=7, ports=2)
    lanes = []
    runtime, _ = watched(compiled(toy, tmp_path), before=lambda b: lanes.append(len(b["label"])))
    with runtime:
        request = Request(3, seed=5, steps=4, solver=Learned(), guidance=guidance)
        table = variance_table(4, guidance, shift=1.0)
        compared(toy, runtime, request, table)
        assert lanes == [len(row) for row in table.lanes[1:]]


def test_numbers_reach_the_graph_of_a_bundle(tmp_path):
    toy = perceptron(seed=7, scalars=("step_size", "end"))
    times = np.linspace(1, 0, 5)
    with Runtime.open(compiled(toy, tmp_path)) as runtime:
        found = []
        for factor in (1.0, -3.0):
            solver = Told(factor)
            request = Request(3, seed=5, steps=4, solver=solver, guidance=CFG(2.0))
            table = told_table(solver.numbers(times), CFG(2.0), shift=1.0)
            found.append(compared(toy, runtime, request, table))
    assert error(found[1], found[0]) > 0.02


@pytest.mark.parametrize(
    ("solver", "words"),
    [(Learned(), "reads output port 1"), (Told(), "tells the network more than the time")],
    ids=repr,
)
def test_a_solver_that_asks_for_what_the_card_lacks_is_refused_before_any_work(
    solver, words, tmp_path
):
    runtime, spy = watched(compiled(perceptron(seed=7), tmp_path))
    with runtime:
        request = Request(Condition(3), steps=4, solver=solver)
        for ask in (runtime.plan, runtime.generate):
            with pytest.raises(InvalidInput, match=words):
                ask(request)
        assert spy.runs == []
        assert runtime.generate(Request(3, steps=2)).nfe == 2

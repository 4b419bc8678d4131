"""Solvers of all kinds on the torch device: few here, every one with the slow tests."""

import pytest

from tests.runtime.networks import NULL
from tests.runtime.rosters import FEW, NAMES, named_table
from tests.runtime.spies import work

LABELS = (4, NULL)


def works_of(names, steps):
    return [
        work(named_table(name, steps), LABELS, seed=2**64 - 1 - index, image=index)
        for index, name in enumerate(names)
    ]


def test_solvers_that_ask_most_of_a_device(check, toy):
    """Five registers, two draws, rules and operations of the solver's own, in the prologue, too."""
    check(toy, works_of(FEW, 3), [LABELS] * len(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(NAMES), 8))
def test_every_solver(check, toy, first):
    names = NAMES[first : first + 8]
    check(toy, works_of(names, 6), [LABELS] * len(names))

"""What kinds of solvers there are, for the colours of a figure."""

from __future__ import annotations

from enum import Enum

from denoisert.runtime.measure.record import Record
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import parse

FEW_STEPS = ("consistency", "flow_map", "lcm", "shortcut", "tcd", "two_forward_one_back")


class Family(Enum):
    """What a line's colour says."""

    FIRST = ("first order", "#e69f00")
    MULTISTEP = ("multistep", "#0072b2")
    SINGLE = ("several evaluations a step", "#009e73")
    RANDOM = ("draws noise", "#cc79a7")
    DISTILLED = ("made for distilled networks", "#98a2b3")


def family(name: str, run: Record) -> Family:
    """The family of a solver by what it is and does."""
    solver = parse(SOLVERS, name)
    if name.partition("(")[0] in FEW_STEPS:
        return Family.DISTILLED
    if run.extra["draws_noise"] == "yes":
        return Family.RANDOM
    if solver.evaluations_per_step > 1:
        return Family.SINGLE
    return Family.FIRST if solver.order == 1 else Family.MULTISTEP

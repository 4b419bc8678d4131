"""Checks what a source is said to take its network's output for, by a network that cannot err.

If the data were one picture m, a network would know it: D = m at every stage, and the noise that
remains is E = (x - alpha m) / sigma. A sampler of any order then stays on the path: the share of m
in its pending input is the alpha of that stage, the sample is m, and nothing of the first noise e
is left in it. A reading of the output with a wrong sign, or of another kind, leaves the path at
once; fresh draws play no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from denoisert.export.probe.canonical import Start, mix
from denoisert.export.probe.convention import Convention
from denoisert.export.probe.realisation import Realisation
from denoisert.export.probe.source import Marks
from denoisert.runtime.sampling.parametrisation import Parametrisation

OFF_PATH = 0.5  # published samplers stray by up to 0.2 at 4 steps, a wrong sign by more than 1
STRAIGHT = 1e-3
NO_CLEAN = 1e-6  # alpha below which eps says nothing about the clean latent


def fits(at: Convention, marks: Sequence[Marks]) -> bool:
    """Whether the stages lie on a path that the reading makes sense on: a flow's is straight."""
    sums = np.array([mark.point.alpha + mark.point.sigma for mark in marks])
    return not at.is_flow or bool(np.abs(sums - 1.0).max() < STRAIGHT)


def straying(
    realisation: Realisation, marks: Sequence[Marks], at: Convention, start: Start
) -> float:
    """How far a sampler with the exact network of one picture strays from its path.

    Args:
        realisation: registers over raw outputs.
        marks: where every stage lies.
        at: the reading of the output that is checked.
        start: an inversion has no clean end to be compared with.

    Returns:
        The largest |share of m - alpha| over all stages and |share of m - 1|, |share of e| of the
        sample; NaN where the start says nothing, as eps at alpha = 0.
    """
    first, *rows = realisation.boundaries
    begin = marks[0].point
    says_nothing = at.parametrisation is Parametrisation.EPS and begin.alpha < NO_CLEAN
    if first.registers[0, 0] == 0.0 or says_nothing:
        return np.nan
    shares = np.outer(first.registers[:, 0], [begin.alpha, begin.sigma]) / first.registers[0, 0]
    worst = 0.0
    for mark, row in zip(marks, rows, strict=True):
        point = mark.point
        worst = max(worst, abs(shares[0, 0] - point.alpha))
        clean = np.array([1.0, 0.0])
        noise = (shares[0] - point.alpha * clean) / (point.sigma or np.inf)
        a, b = mix(at, point)
        shares = row.registers @ shares + np.outer(row.output, a * clean + b * noise)
    if start is Start.SOURCE:
        return worst
    return float(max(worst, abs(shares[0, 0] / at.unit - 1.0), abs(shares[0, 1]) / at.unit))

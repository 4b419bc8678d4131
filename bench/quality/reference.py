"""The reference of a sweep: many steps of the solver that moves least when they are halved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench.case import Extra, Setting, summary
from bench.quality.sweep import FINE, draw
from bench.quality.yardstick import OWN, REFERENCES, Drawn, Yardstick
from denoisert.runtime import Runtime, Solver
from denoisert.runtime.measure.record import Record
from denoisert.runtime.measure.subject import rms

FEW = 1  # request that the candidates are compared on


@dataclass(frozen=True, slots=True)
class Reference:
    """What sweeps are measured against.

    Args:
        solver: its name.
        drawn: what it made of FINE steps.
        records: how far every candidate moves from half as many steps, and from the others.
    """

    solver: str
    drawn: Drawn
    records: tuple[Record, ...]


def reference(
    runtime: Runtime, yardstick: Yardstick, setting: Setting, known: Mapping[str, Solver]
) -> Reference:
    """Choose among the candidates on few requests, then run all.

    Args:
        runtime: of the bundle.
        yardstick: what is asked for.
        setting: of the records.
        known: solvers by name; the candidates are REFERENCES.
    """
    requests = yardstick.requests(None)
    fine = {
        name: draw(runtime, yardstick, requests[:FEW], known[name], FINE) for name in REFERENCES
    }
    halved = {
        name: draw(runtime, yardstick, requests[:FEW], known[name], FINE // 2)
        for name in REFERENCES
    }
    moved = {name: rms(fine[name].latents - halved[name].latents) for name in REFERENCES}
    best = min(moved, key=moved.__getitem__)
    apart = {name: rms(fine[name].latents - fine[best].latents) for name in REFERENCES}
    drawn = draw(runtime, yardstick, requests, known[best], FINE)
    half = draw(runtime, yardstick, requests, known[best], FINE // 2)
    made = [
        *_records(yardstick, setting, "candidate", moved, apart),
        *_records(yardstick, setting, "reference", {best: rms(half.latents - drawn.latents)}, {}),
    ]
    return Reference(best, drawn, (*made, _scored(yardstick, setting, best, drawn)))


def _records(
    yardstick: Yardstick,
    setting: Setting,
    role: str,
    moved: Mapping[str, float],
    apart: Mapping[str, float],
) -> Iterator[Record]:
    """How far each moves when its steps are halved."""
    case = f"quality/{yardstick.name} {OWN} {role} {FINE}"
    for name, value in moved.items():
        told: Extra = {"to_the_chosen": float(f"{apart[name]:.4g}")} if name in apart else {}
        yield summary(case, name, [value], setting, unit="rms", warm_up=0, extra=told)


def _scored(yardstick: Yardstick, setting: Setting, name: str, drawn: Drawn) -> Record:
    """The measure of the reference's own pictures."""
    scores = drawn.scores
    case = f"quality/{yardstick.name} {OWN} pictures {FINE}"
    told: Extra = {"agreement": float(scores.hits.mean())}
    told["mean"] = float(f"{np.mean(scores.distance):.4g}")
    values = [*scores.distance]
    return summary(case, name, values, setting, unit="distance", warm_up=0, extra=told)

"""From what a child process printed to records, and from two depths to the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.case import Setting, summary
from bench.export.models import Model
from denoisert.runtime.measure.record import Record

GIB = 2**30
EXPORT = "export_cpu_s"
TRACED = ("load", "graph")  # what exporting is, apart from checks
CHECKED = ("reference", "engines", "parity")

Figures = Mapping[str, float]
"""Name -> what was measured: seconds, GiB, nodes."""


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """What is told of one export, as far as other processes hardly change it.

    Args:
        found: what the child printed.
    """
    return {
        EXPORT: sum(found["cpu_seconds"][phase] for phase in TRACED),
        "weights_gib": found["weight_bytes"] / GIB,
        "peak_anonymous_gib": found["anonymous_bytes"] / GIB,
        "peak_resident_gib": found["peak_bytes"] / GIB,
        "nodes": found["nodes"],
        "graph_kib": found["graph_bytes"] / 1024,
    }


def measured(model: Model, found: Mapping[str, Any], setting: Setting) -> Record:
    """The record of one export.

    Args:
        model: what was exported.
        found: what the child printed.
        setting: where.
    """
    numbers = figures(found)
    rest = {name: round(value, 3) for name, value in numbers.items() if name != EXPORT}
    seconds = found["seconds"]
    wall = {
        "export_wall_s": round(sum(seconds[phase] for phase in TRACED)),
        "check_wall_s": round(sum(seconds[phase] for phase in CHECKED)),
    }
    parity = {"parity": f"{found['parity']:.1e}"}
    return _record(_case(model), numbers[EXPORT], rest | parity | wall, setting)


def extended(
    title: str, own: tuple[int, ...], shallow: Mapping[tuple[int, ...], Figures], setting: Setting
) -> Record:
    """The record of the whole depth, on the line through what was measured.

    Args:
        title: of the case.
        own: depths of the whole model.
        shallow: depths -> figures, one more than there are depths.
        setting: where.
    """
    depths = np.array([(1, *each) for each in shallow], float)
    whole = {
        name: float(np.linalg.solve(depths, [each[name] for each in shallow.values()]) @ (1, *own))
        for name in next(iter(shallow.values()))
    }
    rest = {name: round(value, 3) for name, value in whole.items() if name != EXPORT}
    return _record(title, whole[EXPORT], rest | {"parity": "extrapolated"}, setting)


def _case(model: Model) -> str:
    return f"export/full {model.title}, {model.size}x{model.size}"


def _record(
    case: str, seconds: float, extra: Mapping[str, float | str], setting: Setting
) -> Record:
    return summary(
        case, "denoisert", [seconds], setting, unit="s of CPU", warm_up=0, extra=dict(extra)
    )

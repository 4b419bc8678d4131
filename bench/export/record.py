"""From what a child process printed to records, and from two depths to the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.case import Setting, summary
from bench.export.models import Model
from denoisert.runtime.measure.record import Record

GIB = 2**30
TRACED = ("load", "graph")  # what exporting is, apart from checks
CHECKED = ("reference", "engines", "parity")

Figures = Mapping[str, float]
"""Name -> what was measured: seconds, GiB, nodes."""


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """What is told of one export.

    Args:
        found: what the child printed.
    """
    seconds = found["seconds"]
    return {
        "export_s": sum(seconds[phase] for phase in TRACED),
        "check_s": sum(seconds[phase] for phase in CHECKED),
        **{name: found[name] for name in ("cpu_s",) if name in found},
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
    rest = {name: round(value, 3) for name, value in numbers.items() if name != "export_s"}
    parity = {"parity": f"{found['parity']:.1e}"}
    return _record(_case(model), numbers["export_s"], rest | parity, setting)


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
    rest = {name: round(value, 3) for name, value in whole.items() if name != "export_s"}
    return _record(title, whole["export_s"], rest | {"parity": "extrapolated"}, setting)


def _case(model: Model) -> str:
    return f"export/full {model.title}, {model.size}x{model.size}"


def _record(
    case: str, seconds: float, extra: Mapping[str, float | str], setting: Setting
) -> Record:
    return summary(case, "denoisert", [seconds], setting, unit="s", warm_up=0, extra=dict(extra))

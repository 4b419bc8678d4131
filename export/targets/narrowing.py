"""A graph in a half type for one target: what stays float32, how far it is, and a report."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from denoisert.export.graph.externalise import externalise
from denoisert.export.parity import Parity, Trial
from denoisert.export.precision.budget import BUDGETS, Fit, fit
from denoisert.export.precision.comparison import Comparison
from denoisert.export.precision.report import report
from denoisert.export.precision.rewrite import narrow
from denoisert.export.targets.form import Form, Place
from denoisert.runtime.engines.target import EngineTarget, engine_key
from denoisert.runtime.errors import ParityError

ACCEPTED: Final = 2
"""How many budgets of its type an error may be, with a note."""

TRIED: Final = 1
"""Trials that a half type is fitted on: a small network takes milliseconds, a large one minutes."""


def narrowed(
    name: str, model: ir.Model, target: EngineTarget, trials: tuple[Trial, ...], place: Place
) -> Form:
    """Fit a graph to the budget of a half type, and write it so.

    Args:
        name: of the component.
        model: float32, in the form of the target; it is changed.
        target: of a half type.
        trials: inputs, and what the source made of them.
        place: where weights lie.

    Raises:
        ParityError: it is too far from the model.
        ExportError: it cannot be written in this dtype.
    """
    root = place.draft.folder
    comparison = Comparison(model, root, target.dtype, trials[:TRIED], place.scratch)
    found = _fit(name, comparison)
    told = report(found, comparison, place.examined) if place.examined else None
    narrow(model, target.dtype, found.keep)
    weights = externalise(model, root, place.write)
    figures = tuple(
        Parity(name, f"{engine_key(target)} graph", output, error)
        for output, error in found.measured.errors.items()
    )
    return Form(model, weights, target.dtype, figures, _notes(name, found, target), told)


def _fit(name: str, comparison: Comparison) -> Fit:
    """The budget of the type where it can be met, else twice that and no more."""
    try:
        return fit(name, comparison)
    except ParityError:
        return fit(name, comparison, ACCEPTED * BUDGETS[comparison.dtype])


def _notes(name: str, found: Fit, target: EngineTarget) -> tuple[str, ...]:
    kept, error, where = found.attempts[-1].first, found.measured.error, engine_key(target)
    why = [f"its first {kept} layers, for the error"] if kept else []
    why += [f"{len(found.out_of_range)} nodes, for their range"] if found.out_of_range else []
    notes = [f"{name} for {where} keeps in float32 {' and '.join(why)}."] if why else []
    if error > BUDGETS[target.dtype]:
        notes.append(
            f"{name} for {where} differs by {error:.1e}, above the {BUDGETS[target.dtype]:.0e} "
            "that this dtype should: compare pictures, or compile it in float32."
        )
    return tuple(notes)

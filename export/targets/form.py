"""The form of a graph that a target gets: its passes, its dtype, and how far it is from the source.

A half type is tried before anything is built, by running the narrowed graph as it is written, so
that an engine for a GPU has its error stated on a machine without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from numpy.typing import NDArray

from denoisert.export.bundle import Draft, write_weights
from denoisert.export.graph.externalise import Location, externalise
from denoisert.export.parity import Parity, Trial
from denoisert.export.precision.int8 import quantise
from denoisert.export.precision.token_scales import scale_tokens
from denoisert.export.targets.lowering import lowered
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.engines.target import (
    FLOAT32,
    HALF,
    INT8,
    EngineTarget,
    OnnxRuntime,
    engine_key,
)
from denoisert.runtime.errors import ParityError

if TYPE_CHECKING:
    from denoisert.export.precision.report import PrecisionReport


@dataclass(frozen=True, slots=True)
class Form:
    """A graph for one target.

    Args:
        model: its large weights lie in the draft.
        weights: their files.
        dtype: that it computes in.
        parity: of the form itself, where it was tried.
        notes: what the user should know, one sentence each.
        report: layer by layer, where it was asked for.
    """

    model: ir.Model
    weights: tuple[str, ...]
    dtype: str = FLOAT32
    parity: tuple[Parity, ...] = ()
    notes: tuple[str, ...] = ()
    report: PrecisionReport | None = None


def form_of(
    name: str,
    model: ir.Model,
    target: EngineTarget,
    trials: tuple[Trial, ...],
    place: Place,
) -> Form:
    """Bring a graph into the form of a target.

    A part that a half type would spoil stays float32, with a note; of the denoiser that is an
    error, since its dtype is what was asked for.

    Args:
        name: of the component.
        model: float32; it is not changed.
        target: what will run it.
        trials: inputs, and what the source made of them.
        place: where weights lie.

    Raises:
        ParityError: the denoiser in this dtype is too far from the model.
        ExportError: the graph cannot be written in this dtype.
    """
    copy = lowered(model, target)
    whole = Form(copy, place.weights)
    if target.dtype == INT8 and name == DENOISER:
        return _quantised(copy, target, place)
    if target.dtype not in HALF:
        return whole
    try:
        from denoisert.export.targets.narrowing import narrowed  # torch tries the graph

        return narrowed(name, copy, target, trials, place)
    except ParityError as error:
        if name == DENOISER:
            raise
        return replace(whole, notes=(f"{name} stays float32 for {engine_key(target)}: {error}",))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a graph's weights lie.

    Args:
        draft: the bundle.
        scratch: folder for copies that are tried.
        weights: files of the draft that the graph reads.
        examined: layers that the report puts back; 0 for no report.
    """

    draft: Draft
    scratch: Path
    weights: tuple[str, ...]
    examined: int = 0

    def write(self, tensors: Mapping[str, NDArray[Any]]) -> Location:
        """Store tensors in the draft, by content."""
        name, places = write_weights(self.draft.path("weights"), tensors)
        return f"weights/{name}", places


def _quantised(model: ir.Model, target: EngineTarget, place: Place) -> Form:
    """Weights in int8; ONNX Runtime has to be told of integer products, OpenVINO makes its own."""
    count = quantise(model)
    if isinstance(target, OnnxRuntime):
        scale_tokens(model)
    weights = externalise(model, place.draft.folder, place.write)
    notes = () if count else (f"{engine_key(target)}: no product is large enough for int8.",)
    return Form(model, weights, INT8, notes=notes)

"""One ONNX file of a denoiser, written by someone else, with a card; taken as it is.

Opset and time shape stay; names of free dimensions become ours, constants are folded, and what a
bundle cannot have is settled (`foreign_graph.py`). The file is not trusted: it is
parsed, checked and searched for operators and data files before anything loads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from denoisert.export.fingerprint import Fingerprint
from denoisert.export.graph.dims import unify_dims
from denoisert.export.graph.fold_constants import fold_constants
from denoisert.export.graph.ports import check_names, graph_inputs, read_ports
from denoisert.export.graph.signature import DENOISER, denoiser_signature
from denoisert.export.need import SESSION, Part
from denoisert.export.random_inputs import Arrays, fit_inputs
from denoisert.export.sources.external_data import check_external, external_files, graphs
from denoisert.export.sources.foreign_graph import Settled, settle_graph
from denoisert.export.sources.source import Component, Loaded
from denoisert.export.targets.session import Evaluate, open_graph, open_reference
from denoisert.runtime.bundle.card import Card, TimeShape
from denoisert.runtime.errors import ExportError, UnsupportedOperator

OPSETS: Final = range(17, 24)
"""Operator sets that are taken as they are."""

STANDARD: Final = ("", "ai.onnx")
"""Names of the standard domain."""

SCALAR_NOTE: Final = (
    "the graph takes one time per call: pictures at different steps cannot share a call."
)


class OnnxFile:
    """A denoiser in an ONNX file.

    Args:
        path: the file; its external data lies beside or below it.
        card: names, dtypes, shapes and meaning.

    Raises:
        ExportError: the file is no ONNX model, or its external data is missing or unsafe.
        UnsupportedOperator: another opset than 17 to 23, or an operator of a custom domain.
    """

    def __init__(self, path: Path, card: Card) -> None:
        self.path = path
        self.card = card
        self._proto = _parse(path)
        _check_operators(path, self._proto)
        check_external(path, self._proto)

    @property
    def parts(self) -> tuple[Part, ...]:
        """One: the file and its external data, which are opened as they are, too."""
        files = (self.path, *external_files(self.path, self._proto))
        size = sum(path.stat().st_size for path in files)
        return (Part(DENOISER, size, int(SESSION * size)),)

    def fingerprint(self) -> str:
        """Digest of the file and its external data."""
        digest = Fingerprint()
        for path in (self.path, *external_files(self.path, self._proto)):
            digest.add_file(path.relative_to(self.path.parent).as_posix(), path)
        return digest.hexdigest()

    def load(self) -> Loaded:
        """Check the graph against the ONNX standard and the card.

        Raises:
            ExportError: the checker refuses the model.
            InvalidInput: graph and card disagree.
        """
        try:
            onnx.checker.check_model(str(self.path))
        except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
            raise ExportError(
                f"{self.path.name} breaks the ONNX standard: {_first_line(error)} Export it again."
            ) from error
        model = _read_graph(self.path)
        signature = denoiser_signature(self.card)
        _drop_weight_inputs(model)
        settled = settle_graph(model, signature)
        check_names(model, signature)
        original = read_ports(model.graph.inputs)
        evaluate = self._reference(model, settled)
        unify_dims(model, signature)
        fold_constants(model)

        def fitted(inputs: Arrays) -> Arrays:
            found = evaluate(fit_inputs(inputs, original))
            return {name: found[name] for name in signature.output_names}

        is_scalar = self.card.network.time_shape is TimeShape.SCALAR
        notes = (*settled.notes, *((SCALAR_NOTE,) if is_scalar else ()))
        return Loaded(self.card, (Component(signature, model, fitted, notes),))

    def _reference(self, model: ir.Model, settled: Settled) -> Evaluate:
        """The file as its author left it; what became of its graph where that is another one."""
        if not settled.is_other:
            return open_reference(self.path)
        text = ir.to_proto(model).SerializeToString()
        return open_graph(text, self.path.parent, self.path.name)


def _read_graph(path: Path) -> ir.Model:
    """The graph, once written back for a trial: names in another encoding would fail only later."""
    try:
        model = ir.load(path)
        ir.to_proto(model)
    except (ir.serde.SerdeError, ValueError, TypeError, KeyError) as error:
        raise ExportError(
            f"{path.name} is damaged: {_first_line(error)} Export it again."
        ) from error
    return model


def _parse(path: Path) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ExportError(
            f"{path.name} is damaged or no ONNX file: {_first_line(error)} Export it again."
        ) from error
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}.") from error
    if not model.graph.node or not model.ir_version:
        raise ExportError(f"{path.name} is damaged or no ONNX file: it has no graph.")
    return model


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise UnsupportedOperator(
            f"{path.name} uses ONNX opset {versions or 'none'}; opsets {OPSETS[0]} to {OPSETS[-1]} "
            "are taken. Export it again, or convert it with onnx.version_converter."
        )
    custom = sorted({f"{n.domain}::{n.op_type}" for n in _nodes(model) if n.domain not in STANDARD})
    if custom or model.functions:
        names = custom or sorted(f"{f.domain}::{f.name}" for f in model.functions)
        raise UnsupportedOperator(
            f"{path.name} uses operators outside the ONNX standard: {', '.join(names)}. Export it "
            "with standard operators (inline local functions with onnx.inliner)."
        )
    if any(graph.sparse_initializer for graph in graphs(model.graph)):
        raise UnsupportedOperator(f"{path.name} has sparse weights; export it with dense ones.")


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in graphs(model.graph):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _drop_weight_inputs(model: ir.Model) -> None:
    """Weights that old files also list as inputs become constants."""
    kept = graph_inputs(model)
    model.graph.inputs.clear()
    model.graph.inputs.extend(kept)


def _first_line(error: BaseException) -> str:
    lines = [re.sub(r"\s+", " ", line).strip() for line in str(error).splitlines()]
    text = next((line for line in lines if line), type(error).__name__)
    return text if text.endswith(".") else f"{text}."

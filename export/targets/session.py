"""ONNX Runtime sessions on the CPU, for checks at compile time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from denoisert.export.random_inputs import Arrays
from denoisert.runtime.errors import ExportError, UnsupportedOperator

Evaluate = Callable[[Arrays], Arrays]

FOLDER_KEY = "session.model_external_initializers_file_folder_path"
"""Session option: the folder that locations of external weights are relative to."""

ERRORS_ONLY = 3
"""Log level: warnings about unused weights of a source are of no use to anyone."""

FAILURES = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NoSuchFile,
    errors.RuntimeException,
)


def open_reference(path: Path) -> Evaluate:
    """Load an ONNX file as its author left it: no graph rewriting.

    Raises:
        UnsupportedOperator: ONNX Runtime lacks one of its operators.
        ExportError: it refuses the file.
    """
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _open(str(path), options, path.name)


def open_graph(graph: bytes, root: Path, name: str) -> Evaluate:
    """Load a serialised graph as the runtime will.

    Args:
        graph: the model.
        root: folder of its weights' locations.
        name: what the graph is called in errors.

    Raises:
        UnsupportedOperator: ONNX Runtime lacks one of its operators.
        ExportError: it refuses the graph.
    """
    options = _options()
    options.add_session_config_entry(FOLDER_KEY, str(root))
    return _open(graph, options, name)


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    return options


def _open(model: str | bytes, options: ort.SessionOptions, name: str) -> Evaluate:
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except errors.NotImplemented as error:
        raise UnsupportedOperator(
            f"ONNX Runtime's CPU kernels lack an operator of {name}: {_text(error)} Export the "
            "model with operators that it has."
        ) from error
    except FAILURES as error:
        raise ExportError(f"ONNX Runtime refuses {name}: {_text(error)}") from error
    outputs = [entry.name for entry in session.get_outputs()]

    def evaluate(inputs: Arrays) -> Arrays:
        try:
            results = session.run(outputs, inputs)
        except FAILURES as error:
            raise ExportError(f"ONNX Runtime cannot run {name}: {_text(error)}") from error
        return dict(zip(outputs, results, strict=True))

    return evaluate


def _text(error: BaseException) -> str:
    """The message without ONNX Runtime's own error codes and line breaks."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return re.sub(r"\s+", " ", text).strip()

"""From ONNX to the library's network: every error with its node, and attention as it needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.interface import (
    IAttentionInputLayer,
    INetworkDefinition,
    OnnxParser,
    ParserError,
)
from denoisert.runtime.engines.tensorrt.binding import Binding, Library
from denoisert.runtime.engines.tensorrt.log import ERROR, Log, readable
from denoisert.runtime.errors import BuildError, DenoiseRTError, UnsupportedOperator

MOST_ERRORS = 12
NO_SUCH_OPERATOR = "Plugin not found"
UNSUPPORTED = "UNSUPPORTED"
WEIGHTS = re.compile(r"^Failed to open file|external weights")
BFLOAT16 = "BF16"
WITHOUT_BFLOAT16 = "7.5"


def parse(
    binding: Binding, library: Library, job: EngineJob, network: INetworkDefinition, log: Log
) -> None:
    """Read the job's graph into an empty network.

    Args:
        binding: of the library.
        library: imported.
        job: with the graph and the folder of its weights.
        network: empty.
        log: of the parser.

    Raises:
        UnsupportedOperator: an operator, or a form of it, that the library lacks; all are named.
        BuildError: it cannot read the graph or its weights.
    """
    parser: OnnxParser = library.OnnxParser(network, log.logger(library))
    text = _read(job)
    # Only the folder counts: the parser looks for weights beside the file that the path names.
    if not parser.parse(text, str(job.root / "model.onnx")) or not text:
        raise _refusal(binding, job, parser, log)


def _read(job: EngineJob) -> bytes:
    try:
        return job.graph.read_bytes()
    except OSError as error:
        raise BuildError(
            f"the graph of {job.component} cannot be read: {error}. Compile the model again."
        ) from error


def _refusal(binding: Binding, job: EngineJob, parser: OnnxParser, log: Log) -> DenoiseRTError:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    lacking = [error for error in errors if _is_lacking(error)]
    shown = "; ".join(_described(error) for error in (lacking or errors)[:MOST_ERRORS])
    more = len(lacking or errors) - MOST_ERRORS
    rest = f"; and {more} more" if more > 0 else ""
    who = f"{binding.title} {binding.version}"
    if lacking:
        return UnsupportedOperator(
            f"{who} lacks operators of {job.component}, or the form in which it uses them. Export "
            f"the model with others, or compile it for another target. It names {shown}{rest}"
        )
    words = f"{shown}{rest}" if errors else log.text()
    # The parser's own errors say which initializer, its log which file.
    files = [text for text in log.said(ERROR) if WEIGHTS.search(text)]
    remedy = "Fetch or export the model again" if files or not errors else "Export it again"
    return BuildError(
        f"{who} cannot read the graph of {job.component}: it is damaged, incomplete or contradicts "
        f"itself. {remedy}. The library says: {'; '.join([words, *files])}"
    )


def _is_lacking(error: ParserError) -> bool:
    return NO_SUCH_OPERATOR in error.desc() or (
        error.code().name.startswith(UNSUPPORTED) and error.node() >= 0
    )


def _described(error: ParserError) -> str:
    text = readable(error.desc())
    words = "no such operator" if NO_SUCH_OPERATOR in text else text
    if error.node() < 0:
        return words
    return f"node {error.node()} {error.node_name()!r}, {error.node_operator()}: {words}"


def allow_decomposition(library: Library, network: INetworkDefinition) -> None:
    """Let every attention be taken apart where the library has no kernel for it.

    It has none for float32, for head sizes above 256 and some below 16. Where it has one the
    permission changes no byte of the engine.

    Args:
        library: imported.
        network: parsed.
    """
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == library.LayerType.ATTENTION_INPUT:
            layer.__class__ = library.IAttentionInputLayer
            cast(IAttentionInputLayer, layer).attention.decomposable = True


def check_types(job: EngineJob, network: INetworkDefinition) -> None:
    """Refuse bfloat16 for GPUs that have none, before the build finds out.

    Raises:
        BuildError: the network computes in bfloat16 and the job names capability 7.5.
    """
    if WITHOUT_BFLOAT16 not in job.capabilities:
        return
    layer = next(_layers_of(network, BFLOAT16), None)
    if layer is not None:
        raise BuildError(
            f"{job.component} computes in bfloat16, first at {layer!r}, and is to be compiled for "
            f"compute capability {', '.join(job.capabilities)}: GPUs of {WITHOUT_BFLOAT16} have no "
            f"bfloat16. Leave {WITHOUT_BFLOAT16} out, or compile in float16."
        )


def layer_names(network: INetworkDefinition) -> Iterator[str]:
    """Of every layer, as the graph's nodes are called."""
    return (network.get_layer(index).name for index in range(network.num_layers))


def _layers_of(network: INetworkDefinition, dtype: str) -> Iterator[str]:
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = (layer.get_output(number) for number in range(layer.num_outputs))
        if any(output is not None and output.dtype.name == dtype for output in outputs):
            yield layer.name

"""A graph's ports against its signature: names, dtypes and sizes, before anything is built.

The card says what the runtime will feed; a graph that wants something else is refused here, with
both sides named, and not by an engine in the middle of a request.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from denoisert.export.graph.signature import STATE_DTYPE, Signature
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import InvalidInput


def graph_inputs(model: ir.Model) -> tuple[ir.Value, ...]:
    """The inputs without those that are weights; old files list weights, too."""
    weights = model.graph.initializers
    return tuple(value for value in model.graph.inputs if value.name not in weights)


def read_ports(values: Sequence[ir.Value]) -> tuple[Port, ...]:
    """Graph values as ports.

    Raises:
        InvalidInput: if one has no name, dtype or rank.
    """
    return tuple(_port(value) for value in values)


def check_names(model: ir.Model, signature: Signature) -> None:
    """Refuse a graph whose inputs or outputs are others than the card's.

    Raises:
        InvalidInput: naming what is missing and what is too much.
    """
    inputs = [str(value.name) for value in graph_inputs(model)]
    outputs = [str(value.name) for value in model.graph.outputs]
    _compare("inputs", [port.name for port in signature.inputs], inputs)
    _compare("outputs", list(signature.output_names), outputs)


def check_ports(signature: Signature, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Refuse dtypes and sizes that differ from the card's; call after `check_names`.

    Args:
        signature: what the runtime will feed and read.
        inputs: of the graph, with the dimension "lanes" or one fixed number of lanes.
        outputs: of the graph.

    Raises:
        InvalidInput: naming the port, what the card says and what the graph has.
    """
    fed = {port.name: port for port in inputs}
    read = {port.name: port for port in outputs}
    lanes = graph_lanes(signature, inputs)
    for wanted in signature.inputs:
        _check_input(signature, wanted, fed[wanted.name], lanes)
    for wanted in signature.outputs:
        _check_output(signature, wanted, read[wanted.name], lanes)


def graph_lanes(signature: Signature, inputs: Sequence[Port]) -> int | str:
    """The first dimension that all inputs but the time share; `check_ports` looks at that one.

    Raises:
        InvalidInput: if they differ.
    """
    batched = [port for port in inputs if port.name != signature.time]
    sizes = {port.name: port.dims[0] if port.dims else "none" for port in batched}
    if len(set(sizes.values())) > 1:
        raise InvalidInput(
            f"the inputs' numbers of lanes differ: {sizes}. Export the graph with one dynamic or "
            "one fixed batch dimension for all of them."
        )
    return next(iter(sizes.values()))


def _port(value: ir.Value) -> Port:
    if not value.name or value.dtype is None or value.shape is None:
        raise InvalidInput(
            f"graph value {value.name!r} has dtype {value.dtype} and shape {value.shape}; "
            "export the graph again with typed, shaped inputs and outputs."
        )
    dims = (size if isinstance(size, int) else str(size.value or "?") for size in value.shape)
    return Port(value.name, value.dtype.numpy().name, tuple(dims))


def _compare(kind: str, wanted: list[str], found: list[str]) -> None:
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        raise InvalidInput(
            f"the card names the {kind} {wanted}, the graph has {found}: missing {missing}, "
            f"not in the card {extra}. Rename them in the card or export the graph again."
        )


def _check_input(signature: Signature, wanted: Port, found: Port, lanes: int | str) -> None:
    if found.dtype != wanted.dtype:
        raise InvalidInput(
            f"input {wanted.name!r} is {wanted.dtype} by the card and {found.dtype} in the graph; "
            "correct the card or cast inside the graph."
        )
    if wanted.name == signature.time:
        _check_time(wanted, found, lanes)
        return
    dims = (lanes, *wanted.dims[1:])
    if found.dims != dims:
        raise InvalidInput(
            f"input {wanted.name!r} is {dims} by the card and {found.dims} in the graph; "
            "correct the card's shape or export the graph again."
        )


def _check_time(wanted: Port, found: Port, lanes: int | str) -> None:
    is_scalar = not wanted.dims
    fitting = ((), (1,)) if is_scalar else ((lanes,),)
    if found.dims in fitting:
        return
    is_other = found.dims == (lanes,) if is_scalar else found.dims in ((), (1,))
    other = "lanes" if is_scalar else "scalar"
    advice = (
        f'set "time_shape" to "{other}" in the card'
        if is_other
        else "export the graph with one time per lane"
    )
    raise InvalidInput(
        f"time {wanted.name!r} is {'one per call' if is_scalar else 'one per lane'} by the card "
        f"and has shape {found.dims} in the graph; {advice}."
    )


def _check_output(signature: Signature, wanted: Port, found: Port, lanes: int | str) -> None:
    if found.dtype != STATE_DTYPE:
        raise InvalidInput(
            f"output {wanted.name!r} is {found.dtype}; what is read is {STATE_DTYPE}. "
            "Add a Cast to the graph."
        )
    dims = (lanes, *wanted.dims[1:])
    sizes = found.dims
    if signature.is_sliced and len(sizes) == len(dims) and isinstance(sizes[1], int):
        sizes = (sizes[0], min(sizes[1], int(dims[1])), *sizes[2:])
    if sizes != dims:
        more = ", or more channels" if signature.is_sliced else ""
        raise InvalidInput(
            f"output {wanted.name!r} has shape {found.dims} in the graph; the card reads "
            f"{dims}{more}. Correct the card or export the graph again."
        )

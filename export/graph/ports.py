"""A graph's inputs and outputs against the card: names, dtypes and sizes, before anything is built.

The card says what the runtime will feed; a graph that wants something else is refused here, with
both sides named, and not by an engine in the middle of a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx_ir as ir

from denoisert.runtime.bundle.card import Card, OutputSlice, TimeShape
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import InvalidInput

LANES: Final = "lanes"
"""Name of the one dimension that varies."""

STATE_DTYPE: Final = "float32"
"""Dtype of latents and predictions; registers are float32, and nothing casts between."""


def card_inputs(card: Card) -> tuple[Port, ...]:
    """The graph inputs that a card describes: parts, time, conditions, scalars."""
    network = card.network
    time_dims = (LANES,) if network.time_shape is TimeShape.LANES else ()
    return (
        *(Port(part.name, STATE_DTYPE, (LANES, *part.shape)) for part in card.layout.parts),
        Port(network.time, network.time_dtype, time_dims),
        *(Port(entry.name, entry.dtype, (LANES, *entry.shape)) for entry in card.conditions),
        *(Port(name, STATE_DTYPE, (LANES,)) for name in network.scalars),
    )


def card_outputs(card: Card) -> tuple[str, ...]:
    """The graph outputs that a card names, in the order of its ports."""
    slices = (part for port in card.network.ports for part in port)
    return tuple(dict.fromkeys(entry.output for entry in slices))


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


def check_names(model: ir.Model, card: Card) -> None:
    """Refuse a graph whose inputs or outputs are others than the card's.

    Raises:
        InvalidInput: naming what is missing and what is too much.
    """
    inputs = [str(value.name) for value in graph_inputs(model)]
    outputs = [str(value.name) for value in model.graph.outputs]
    _compare("inputs", [port.name for port in card_inputs(card)], inputs)
    _compare("outputs", list(card_outputs(card)), outputs)


def check_ports(card: Card, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Refuse dtypes and sizes that differ from the card's; call after `check_names`.

    Args:
        card: what the runtime will feed and read.
        inputs: of the graph, with the dimension "lanes" or one fixed number of lanes.
        outputs: of the graph.

    Raises:
        InvalidInput: naming the port, what the card says and what the graph has.
    """
    found = {port.name: port for port in inputs}
    lanes = graph_lanes(card, inputs)
    for wanted in card_inputs(card):
        _check_input(card, wanted, found[wanted.name], lanes)
    predictions = {port.name: port for port in outputs}
    for entry in (part for port in card.network.ports for part in port):
        _check_output(card, entry, predictions[entry.output], lanes)


def graph_lanes(card: Card, inputs: Sequence[Port]) -> int | str:
    """The first dimension that all inputs but the time share; `check_ports` looks at that one.

    Raises:
        InvalidInput: if they differ.
    """
    batched = [port for port in inputs if port.name != card.network.time]
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


def _check_input(card: Card, wanted: Port, found: Port, lanes: int | str) -> None:
    if found.dtype != wanted.dtype:
        raise InvalidInput(
            f"input {wanted.name!r} is {wanted.dtype} by the card and {found.dtype} in the graph; "
            "correct the card or cast inside the graph."
        )
    if wanted.name == card.network.time:
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


def _check_output(card: Card, entry: OutputSlice, found: Port, lanes: int | str) -> None:
    part = card.layout.parts[entry.part]
    if found.dtype != STATE_DTYPE:
        raise InvalidInput(
            f"output {entry.output!r} is {found.dtype}; predictions are {STATE_DTYPE}. "
            "Add a Cast to the graph."
        )
    has_channels = len(found.dims) > 1 and isinstance(found.dims[1], int)
    channels = int(found.dims[1]) if has_channels else 0
    last = entry.first + entry.channels
    expected = (lanes, channels, *part.shape[1:])
    if found.dims != expected or last > channels or entry.channels != part.channels:
        raise InvalidInput(
            f"output {entry.output!r} has shape {found.dims} in the graph; the card reads channels "
            f"{entry.first} to {last} of ({lanes}, .., {part.shape[1:]}) as part {part.name!r} "
            f"{part.shape}. Correct the card's port or export the graph again."
        )

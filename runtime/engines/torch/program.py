"""A graph at one number of lanes and one size: a flat list of torch calls on values of known shape.

Everything that follows from shapes and constants is computed here, on the host, once. What is left
has no shape arithmetic, so it can be captured, compiled and planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.dtypes import NAMES
from denoisert.runtime.engines.torch.graph import Graph, Node
from denoisert.runtime.engines.torch.operators import OPERATORS
from denoisert.runtime.engines.torch.operators.call import Call, Kind, Site, Value
from denoisert.runtime.engines.torch.operators.constant import FOLDED, conversion
from denoisert.runtime.engines.torch.precision import Precision, in_range
from denoisert.runtime.errors import BuildError

# What torch raises for tensors that do not go together.
MISFITS = (RuntimeError, IndexError, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class Step:
    """One call and the values it reads and writes.

    Args:
        call: the torch call.
        inputs: value names; "" where one is left out.
        outputs: value names; "" where nobody reads one.
        specimens: the outputs' shapes, dtypes and strides, without memory.
        is_sequence: whether the call returns a sequence of tensors.
    """

    call: Call
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    specimens: tuple[Tensor, ...]
    is_sequence: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is known before the graph runs.

    Args:
        source: the host tensor, in the dtype of the file.
        dtype: the one that it is read in.
        is_shared: whether it is the same for every number of lanes and every size.
    """

    source: Tensor
    dtype: torch.dtype
    is_shared: bool

    def on(self, device: torch.device) -> Tensor:
        """The value on a device, in the dtype that it is read in."""
        return in_range(self.source.to(device), self.dtype)


@dataclass(frozen=True, slots=True)
class Program:
    """All calls of a graph at one number of lanes.

    Args:
        steps: in order.
        inputs: port name -> shape and dtype, without memory.
        outputs: port name -> the value that it shows.
        constants: value name -> what is known beforehand.
    """

    steps: tuple[Step, ...]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, str]
    constants: Mapping[str, Constant]


def fold(graph: Graph) -> Graph:
    """The graph without the nodes that read constants only, whatever the number of lanes."""
    weights, nodes = dict(graph.weights), []
    for node in graph.nodes:
        if all(name in weights for name in node.inputs if name):
            values = tuple(_known(weights.get(name)) for name in node.inputs)
            weights.update(_evaluate(Site(node, values, graph.opset)))
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes), weights=weights)


def specialise(
    graph: Graph, inputs: tuple[Port, ...], outputs: tuple[Port, ...], precision: Precision
) -> Program:
    """A graph at one number of lanes.

    Args:
        graph: the folded graph.
        inputs: its inputs, every dimension a number, in the dtypes that buffers have.
        outputs: its outputs, likewise.
        precision: float types.

    Raises:
        BuildError: an operator has inputs that it cannot take, or a shape that depends on values.
    """
    return _Writer(graph, inputs, precision).program(outputs)


def _known(constant: Tensor | None) -> Value | None:
    return None if constant is None else _as_value(constant, constant.dtype)


def _as_value(constant: Tensor, dtype: torch.dtype) -> Value:
    specimen = torch.empty_strided(constant.shape, constant.stride(), dtype=dtype, device="meta")
    return Value(specimen, constant)


def _evaluate(site: Site) -> dict[str, Tensor]:
    """The outputs of a node that reads constants only."""
    constants = tuple(None if value is None else value.constant for value in site.values)
    try:
        results = OPERATORS[site.node.op].build(site).run(constants)
    except MISFITS as error:
        raise _misfit(site, error) from error
    return _named(site.node, results)


def _named(node: Node, results: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
    found = (results,) if isinstance(results, Tensor) else results
    return {name: tensor for name, tensor in zip(node.outputs, found, strict=False) if name}


def _misfit(site: Site, error: Exception) -> BuildError:
    if isinstance(error, BuildError):
        return error
    shapes = [
        None if v is None else (v.specimen.dtype, tuple(v.specimen.shape)) for v in site.values
    ]
    return site.refusal(f"cannot take {shapes}: {error}")


class _Writer:
    """Writes a program node by node."""

    def __init__(self, graph: Graph, inputs: tuple[Port, ...], precision: Precision) -> None:
        self._graph = graph
        self._precision = precision
        self._inputs = {
            port.name: torch.empty(port.shape(1), dtype=NAMES[port.dtype], device="meta")
            for port in inputs
        }
        self._constants: dict[str, Tensor] = dict(graph.weights)
        self._values: dict[str, Value] = {name: Value(x) for name, x in self._inputs.items()}
        self._used: dict[str, Constant] = {}
        self._steps: list[Step] = []

    def program(self, outputs: tuple[Port, ...]) -> Program:
        for node in self._graph.nodes:
            self._write(node)
        shown = {port.name: self._shown(port) for port in outputs}
        steps = _needed(self._steps, set(shown.values()))
        read = {name for step in steps for name in step.inputs} | set(shown.values())
        used = {name: constant for name, constant in self._used.items() if name in read}
        return Program(steps, self._inputs, shown, used)

    def _shown(self, port: Port) -> str:
        name = self._in_dtype(port.name, NAMES[port.dtype])
        found = tuple(self._seen(name).specimen.shape)
        if found != port.shape(1):
            raise BuildError(
                f"the graph promises {port.name} of shape {port.shape(1)} and computes {found}. "
                "Export it again."
            )
        return name

    def _seen(self, name: str) -> Value:
        if name in self._used:
            return _as_value(self._used[name].source, self._used[name].dtype)
        return self._values[name]

    def _write(self, node: Node) -> None:
        """Fold the node, or add its step."""
        if node.op in FOLDED or all(name in self._constants for name in node.inputs if name):
            values = tuple(self._value(name) for name in node.inputs)
            self._constants.update(_evaluate(Site(node, values, self._graph.opset)))
            return
        variable = [self._values.get(name) for name in node.inputs]
        dtype = self._precision.of_node(node, [v.specimen if v else None for v in variable])
        floats = self._precision.floats(dtype)
        names = tuple(self._operand(name, floats) for name in node.inputs)
        values = tuple(self._seen(name) if name else None for name in names)
        site = Site(node, values, self._graph.opset, floats)
        try:
            self._add(OPERATORS[node.op].build(site), names, node.outputs)
        except MISFITS as error:
            raise _misfit(site, error) from error

    def _value(self, name: str) -> Value | None:
        if name in self._values:
            return self._values[name]
        return _known(self._constants.get(name))

    def _operand(self, name: str, floats: Mapping[torch.dtype, torch.dtype]) -> str:
        """The name under which a node reads a value in its own float type."""
        if not name:
            return ""
        known = self._constants.get(name)
        if known is not None:
            return self._in_dtype(name, floats.get(known.dtype, known.dtype))
        dtype = self._values[name].specimen.dtype
        return self._in_dtype(name, floats.get(dtype, dtype))

    def _in_dtype(self, name: str, dtype: torch.dtype) -> str:
        """The name of a value in a dtype; a constant is converted here, a variable by a step."""
        alias = f"{name} as {dtype}"
        if name in self._constants:
            is_shared = name in self._graph.weights
            self._used[alias] = Constant(self._constants[name], dtype, is_shared)
            return alias
        if self._values[name].specimen.dtype == dtype:
            return name
        if alias not in self._values:
            self._add(conversion(dtype), (name,), (alias,))
        return alias

    def _add(self, call: Call, names: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        given = tuple(self._seen(name).specimen if name else None for name in names)
        results = call.run(given)
        is_sequence = not isinstance(results, Tensor)
        found = (results,) if isinstance(results, Tensor) else tuple(results)
        if call.writer is not None and call.kind is not Kind.VIEW:
            found = tuple(torch.empty(x.shape, dtype=x.dtype, device="meta") for x in found)
        self._steps.append(Step(call, names, outputs, found, is_sequence))
        self._values.update(
            {name: Value(x) for name, x in zip(outputs, found, strict=False) if name}
        )


def _needed(steps: list[Step], wanted: set[str]) -> tuple[Step, ...]:
    """The steps that some output depends on."""
    kept = []
    for step in reversed(steps):
        if wanted & set(step.outputs):
            kept.append(step)
            wanted |= set(step.inputs)
        wanted.discard("")
    return tuple(reversed(kept))

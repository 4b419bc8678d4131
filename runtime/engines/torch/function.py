"""A program as a pure function of tensors: for gradients, for tests and for compilers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from denoisert.runtime.engines.torch.operators.call import Operand
from denoisert.runtime.engines.torch.program import Program, Step


class TorchFunction(nn.Module):
    """The network at one number of lanes: reads a mapping of tensors, returns new ones.

    It is differentiable with respect to every float input, has no state that changes, and is one
    graph for `torch.compile`. Weights are shared with the engine.

    Args:
        program: what it computes.
        constants: the program's constants on the device.
    """

    def __init__(self, program: Program, constants: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._inputs = tuple(program.inputs)
        self._outputs = tuple(program.outputs)
        self._body = _traced(program, constants)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Port name -> output, for port name -> input of the port's shape and dtype."""
        found = self._body(*(inputs[name] for name in self._inputs))
        return dict(zip(self._outputs, found, strict=True))


def _traced(program: Program, constants: Mapping[str, Tensor]) -> fx.GraphModule:
    """The program as straight code, in which every value is dropped after its last use."""
    graph = fx.Graph()
    values = {name: graph.placeholder(f"input_{i}") for i, name in enumerate(program.inputs)}
    root = {f"constant_{i}": tensor for i, tensor in enumerate(constants.values())}
    values |= {name: graph.get_attr(key) for name, key in zip(constants, root, strict=True)}
    for step in program.steps:
        _write(graph, step, values)
    graph.output(tuple(values[name] for name in program.outputs.values()))
    return fx.GraphModule(root, graph)


def _write(graph: fx.Graph, step: Step, values: dict[str, fx.Node]) -> None:
    arguments: tuple[Any, ...] = tuple(
        values[step.inputs[item.index]] if isinstance(item, Operand) else item
        for item in step.call.arguments
    )
    keywords: dict[str, Any] = dict(step.call.keywords)
    found = graph.call_function(step.call.function, arguments, keywords)
    if not step.is_sequence:
        values[step.outputs[0]] = found
        return
    for i, name in enumerate(step.outputs):
        if name:
            values[name] = graph.call_function(_item, (found, i))


def _item(sequence: tuple[Tensor, ...], index: int) -> Tensor:
    return sequence[index]

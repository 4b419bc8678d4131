"""What an operator becomes: one call of a torch function with everything static filled in.

A builder sees a node's inputs as shapes, and as values where they are constants, and returns a
`Call`. The same call is run on buffers, differentiated, or traced by a compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import torch

from denoisert.runtime.engines.torch.graph import Node
from denoisert.runtime.errors import BuildError

Function = Callable[..., Any]
Keywords = Mapping[str, object]


class Kind(Enum):
    """What a call's result has to do with its inputs' memory."""

    VIEW = "shares memory with the first input"
    POINTWISE = "may be written over an input of the same shape"
    FRESH = "needs memory of its own"


@dataclass(frozen=True, slots=True)
class Operand:
    """The node's input of this number, in a call's arguments."""

    index: int


X, Y, Z = Operand(0), Operand(1), Operand(2)


@dataclass(frozen=True, slots=True)
class Call:
    """One torch call.

    Args:
        function: pure; returns a tensor, or a sequence of them for a node with several outputs.
        arguments: positional; operands stand for the node's inputs.
        keywords: passed by name, no operands.
        kind: what the result has to do with the inputs' memory.
        writer: takes the same arguments and `out`, and allocates nothing; None where torch has no
            such form, and its allocator serves the result.
    """

    function: Function
    arguments: tuple[object, ...] = (X,)
    keywords: Keywords = field(default_factory=lambda: MappingProxyType({}))
    kind: Kind = Kind.FRESH
    writer: Function | None = None

    def run(
        self, values: tuple[torch.Tensor | None, ...]
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Call the function on the node's inputs."""
        given = (values[a.index] if isinstance(a, Operand) else a for a in self.arguments)
        found: torch.Tensor | tuple[torch.Tensor, ...] = self.function(*given, **self.keywords)
        return found


@dataclass(frozen=True, slots=True)
class Value:
    """A node's input as a builder sees it.

    Args:
        specimen: shape, dtype and strides, without memory.
        constant: the host tensor where it is known before the graph runs.
    """

    specimen: torch.Tensor
    constant: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A node and its inputs, at one number of lanes.

    Args:
        node: the operator.
        values: its inputs; None where an optional one is left out.
        opset: version of the operator set.
        floats: float type of the file -> the one that this node is computed in.
    """

    node: Node
    values: tuple[Value | None, ...]
    opset: int
    floats: Mapping[torch.dtype, torch.dtype] = field(default_factory=lambda: MappingProxyType({}))

    def has(self, index: int) -> bool:
        """Whether the input is there."""
        return index < len(self.values) and self.values[index] is not None

    def optional(self, index: int) -> Operand | None:
        """The operand, or None where the input is left out."""
        return Operand(index) if self.has(index) else None

    def value(self, index: int = 0) -> Value:
        """An input that must be there.

        Raises:
            BuildError: it is left out.
        """
        value = self.values[index] if index < len(self.values) else None
        if value is None:
            raise self.refusal(f"lacks input {index}")
        return value

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """The sizes of an input."""
        return tuple(self.value(index).specimen.shape)

    def rank(self, index: int = 0) -> int:
        """The number of dimensions of an input."""
        return self.value(index).specimen.dim()

    def dtype(self, index: int = 0) -> torch.dtype:
        """The dtype of an input."""
        return self.value(index).specimen.dtype

    def axis(self, default: int, *, index: int = 0) -> int:
        """The attribute `axis`, counted from the front of an input's dimensions."""
        axis = self.node.integer("axis", default)
        return axis + self.rank(index) if axis < 0 else axis

    def constant(self, index: int) -> torch.Tensor:
        """The value of an input that must be known before the graph runs.

        Raises:
            BuildError: it depends on the graph's inputs.
        """
        found = self.value(index).constant
        if found is None:
            raise self.refusal(
                f"takes {self.node.inputs[index]!r} as input {index}, which depends on the values "
                "that are fed; only shapes and constants are known beforehand"
            )
        return found

    def integers(self, index: int) -> tuple[int, ...]:
        """A constant input as integers."""
        return tuple(int(item) for item in self.constant(index).reshape(-1).tolist())

    def scalar(self, index: int) -> float | int | bool:
        """A constant input of one element."""
        found: float | int | bool = self.constant(index).item()
        return found

    def refusal(self, problem: str) -> BuildError:
        """An error that names the node."""
        return BuildError(
            f"{self.node.op} {self.node.name!r} {problem}. Export the graph without it or choose "
            "another engine."
        )


Builder = Callable[[Site], Call]


@dataclass(frozen=True, slots=True)
class Operator:
    """One row of the table of operators.

    Args:
        build: makes the call.
        attributes: those that the builder reads, separated by spaces.
        fixed: attributes that are accepted at these values only.
        outputs: most outputs that may be read.
    """

    build: Builder
    attributes: str = ""
    fixed: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    outputs: int = 1

    def check(self, node: Node) -> None:
        """Refuse what the builder does not know.

        Raises:
            BuildError: names the attribute or the output.
        """
        known = self.attributes.split()
        for name, value in node.attributes.items():
            if name in self.fixed and value == self.fixed[name]:
                continue
            if name not in known:
                only = f"; only {self.fixed[name]!r} is" if name in self.fixed else ""
                raise BuildError(
                    f"{node.op} {node.name!r} has {name} = {value!r}, which the torch engine does "
                    f"not know{only}. Export the graph without it or choose another engine."
                )
        if any(node.outputs[self.outputs :]):
            raise BuildError(
                f"{node.op} {node.name!r} gives {list(node.outputs)}; the torch engine gives the "
                f"first {self.outputs}. Export the graph without the others."
            )

"""A graph as data: nodes, weights and ports, without a trace of the file format.

Everything behind this file works on these values, so only `reader.py` knows ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import torch

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import BuildError

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | torch.Tensor


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph.

    Args:
        op: ONNX name, for example "MatMul".
        inputs: value names; "" where an optional input is left out.
        outputs: value names; "" where nobody reads the output.
        attributes: those that the file sets; tensors are on the host.
        name: of the node, for messages.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    name: str = ""

    def integer(self, name: str, default: int) -> int:
        """An integer attribute.

        Raises:
            BuildError: it has another type.
        """
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else self._refuse(name, "an integer")

    def number(self, name: str, default: float) -> float:
        """A float attribute.

        Raises:
            BuildError: it has another type.
        """
        value = self.attributes.get(name, default)
        return float(value) if isinstance(value, int | float) else self._refuse(name, "a number")

    def text(self, name: str, default: str) -> str:
        """A string attribute.

        Raises:
            BuildError: it has another type.
        """
        value = self.attributes.get(name, default)
        return value if isinstance(value, str) else self._refuse(name, "a string")

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """An attribute of several integers.

        Raises:
            BuildError: it has another type.
        """
        value = self.attributes.get(name, default)
        if not isinstance(value, tuple):
            self._refuse(name, "a list of integers")
        return tuple(int(item) for item in value)

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        raise BuildError(
            f"{self.op} {self.name!r} needs {wanted} as {name}, found "
            f"{self.attributes.get(name)!r}. Export the graph again."
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole network.

    Args:
        name: file name, for messages.
        opset: version of the ONNX operators.
        nodes: in an order in which every value is written before it is read.
        weights: value name -> host tensor, in the dtype of the file.
        inputs: ports in the file's dtypes, weights left out.
        outputs: ports in the file's dtypes.
    """

    name: str
    opset: int
    nodes: tuple[Node, ...]
    weights: Mapping[str, torch.Tensor]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

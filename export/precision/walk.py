"""A graph executed node by node in the types it is written in, each value shown when it is there.

Torch computes; whatever a node's type, it is computed in float32 from its rounded inputs and its
result is rounded once, as a GPU's matrix units do. Torch's own half types on a CPU give the same
but for the places where they round inside an operator, and products in float16 take far longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoisert.export.parity import Trial
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.precision import HALF, Precision
from denoisert.runtime.engines.torch.program import Program, Step, fold, specialise
from denoisert.runtime.engines.torch.reader import read_graph

WRITTEN: Final = Precision(None)
HOST: Final = torch.device("cpu")
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """One value at the moment when it is known.

    Args:
        name: in the graph.
        tensor: the value.
        shapes: of what its node read, () for an input that is left out.
    """

    name: str
    tensor: Tensor
    shapes: tuple[Shape, ...]


class Walk:
    """One graph.

    Args:
        graph: the ONNX file.
        root: folder that the locations of its weights are relative to.

    Raises:
        BuildError: it has an operator that the torch engine does not know.
    """

    def __init__(self, graph: Path, root: Path) -> None:
        self._graph = fold(read_graph(graph, root))

    def program(self, trial: Trial) -> Program:
        """The graph at the sizes of a trial.

        Raises:
            BuildError: an operator cannot take its inputs.
        """
        graph = self._graph
        return specialise(
            graph, _at(graph.inputs, trial.inputs), _at(graph.outputs, trial.expected), WRITTEN
        )

    def values(self, program: Program, trial: Trial) -> Iterator[Computed]:
        """Every value in the order in which it is computed; each is dropped after its last use.

        Args:
            program: of the same trial.
            trial: its inputs are read.
        """
        known = {name: constant.on(HOST) for name, constant in program.constants.items()}
        known |= {name: torch.from_numpy(trial.inputs[name]) for name in program.inputs}
        last = {name: i for i, step in enumerate(program.steps) for name in step.inputs}
        for i, step in enumerate(program.steps):
            given = tuple(known[name] if name else None for name in step.inputs)
            shapes = tuple(() if x is None else tuple(x.shape) for x in given)
            for name, result in zip(step.outputs, _results(step, given), strict=False):
                known[name] = result
                yield Computed(name, result, shapes)
            for name in (*step.inputs, *step.outputs):
                if last.get(name, i) <= i:
                    known.pop(name, None)


def _at(ports: tuple[Port, ...], arrays: Mapping[str, NDArray[Any]]) -> tuple[Port, ...]:
    """Ports in the sizes of arrays."""
    return tuple(replace(port, dims=tuple(np.shape(arrays[port.name]))) for port in ports)


@torch.no_grad()
def _results(step: Step, given: tuple[Tensor | None, ...]) -> list[Tensor]:
    """What a step gives, in the dtypes of its specimens."""
    wide = tuple(x.float() if x is not None and x.dtype in HALF else x for x in given)
    results = step.call.run(wide)
    found = (results,) if isinstance(results, Tensor) else results
    return [x.to(form.dtype) for x, form in zip(found, step.specimens, strict=False)]

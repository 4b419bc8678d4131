"""A float32 graph and narrowed copies of it on the same inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import onnx_ir as ir
from numpy.typing import NDArray

from denoisert.export.bundle import write_weights
from denoisert.export.graph.externalise import Location, externalise
from denoisert.export.parity import Trial, relative_error
from denoisert.export.precision.halves import LARGEST, half_type
from denoisert.export.precision.layers import Layer, Noise, cost, layers, pairs, peak, weighted
from denoisert.export.precision.rewrite import NOTHING, name_of, narrow
from denoisert.export.precision.walk import Computed, Walk

INFINITE: Final = 1e30
"""Larger numbers stand for infinity: a mask that subtracts 3.4e38."""

MARGIN: Final = 4.0
"""Inputs that were not tried may be as much larger."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One narrowed graph.

    Args:
        errors: output -> largest relative error over all trials; infinite where not finite.
        layers: the noisiest first.
    """

    errors: Mapping[str, float]
    layers: tuple[Layer, ...]

    @property
    def error(self) -> float:
        """The largest of all outputs."""
        return max(self.errors.values())


class Comparison:
    """Runs a graph beside narrowed copies of it; one copy at a time lies on the disk.

    Args:
        model: float32; it is not changed.
        root: folder that the locations of its weights are relative to.
        dtype: "float16" or "bfloat16".
        trials: inputs, and what the model's source made of them.
        scratch: folder for weights of copies, as large as half of the model's.

    Raises:
        InvalidInput: another dtype.
        BuildError: the graph has an operator that the torch engine does not know.
    """

    def __init__(
        self, model: ir.Model, root: Path, dtype: str, trials: Sequence[Trial], scratch: Path
    ) -> None:
        self.dtype = dtype
        self.nodes = weighted(model)
        self._model = model
        self._half = half_type(dtype)
        self._trials = tuple(trials)
        self._scratch = scratch
        self._limit = LARGEST[self._half] / MARGIN
        self._peaks: dict[str, float] = {}
        with TemporaryDirectory(dir=scratch) as folder:
            self._reference = Walk(_saved(model, Path(folder)), root)

    def out_of_range(self) -> frozenset[str]:
        """Names of nodes that read or give numbers that the half type does not hold.

        They are found in the float32 graph: a copy that overflows once has no numbers after it.
        """
        if self._limit > INFINITE:
            return NOTHING
        if not self._peaks:
            self.measure()
        return frozenset(
            name_of(node)
            for node in self._model.graph
            for value in (*node.inputs, *node.outputs)
            if value is not None and self._peaks.get(str(value.name), 0.0) > self._limit
        )

    def prefix(self, first: int) -> frozenset[str]:
        """Names of the nodes up to the one that multiplies matrices as the `first`-th."""
        left, found = first, set()
        for node in self._model.graph:
            if not left:
                break
            found.add(name_of(node))
            left -= str(node.outputs[0].name) in self.nodes
        return frozenset(found)

    def measure(self, keep: Collection[str] = NOTHING) -> Measured:
        """Narrow a copy and run it on every trial.

        Args:
            keep: names of nodes that stay float32.
        """
        with TemporaryDirectory(dir=self._scratch) as folder:
            narrowed = Walk(self._narrowed(keep, Path(folder)), Path(folder))
            errors: dict[str, float] = {}
            noises: dict[str, Noise] = {}
            for trial in self._trials:
                self._compare(narrowed, trial, errors, noises)
        return Measured(errors, layers(self.nodes, noises))

    def _narrowed(self, keep: Collection[str], folder: Path) -> Path:
        def write(tensors: Mapping[str, NDArray[Any]]) -> Location:
            return write_weights(folder, tensors)

        copy = self._model.clone()
        narrow(copy, self.dtype, keep)
        externalise(copy, folder, write)
        return _saved(copy, folder)

    def _compare(
        self, narrowed: Walk, trial: Trial, errors: dict[str, float], noises: dict[str, Noise]
    ) -> None:
        ours, theirs = self._reference.program(trial), narrowed.program(trial)
        known = [{name for step in each.steps for name in step.outputs} for each in (ours, theirs)]
        names = frozenset((*self.nodes, *trial.expected)) & known[0] & known[1]
        first = self._noted(self._reference.values(ours, trial))
        for one, found in pairs(first, narrowed.values(theirs, trial), names):
            if one.name in self.nodes:
                noise = noises.setdefault(one.name, Noise())
                noise.flops = noise.flops or cost(self.nodes[one.name], one)
                noise.add(one.tensor, found)
            if one.name in trial.expected:
                error = relative_error(found.numpy(), trial.expected[one.name])
                errors[one.name] = max(errors.get(one.name, 0.0), error)

    def _noted(self, values: Iterator[Computed]) -> Iterator[Computed]:
        """The values of the float32 graph; their sizes are noted on the way where they matter."""
        for each in values:
            if self._limit < INFINITE:
                size = peak(each.tensor, INFINITE)
                self._peaks[each.name] = max(self._peaks.get(each.name, 0.0), size)
            yield each


def _saved(model: ir.Model, folder: Path) -> Path:
    path = folder / "graph.onnx"
    path.write_bytes(ir.to_proto(model).SerializeToString())
    return path

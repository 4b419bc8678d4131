"""The torch engine: ports, buckets, and calls bound to buffers on any device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from denoisert.runtime.engines.engine import LARGEST_BUCKET, lane_buckets, sized
from denoisert.runtime.engines.torch.bound import Binder, TorchBound, reported
from denoisert.runtime.engines.torch.buffers import AnyBuffer, place_buffers
from denoisert.runtime.engines.torch.function import TorchFunction
from denoisert.runtime.engines.torch.fusion import fuse
from denoisert.runtime.engines.torch.plan import Plan
from denoisert.runtime.engines.torch.plans import Plans, Ports
from denoisert.runtime.engines.torch.precision import Precision
from denoisert.runtime.engines.torch.program import fold
from denoisert.runtime.engines.torch.reader import read_graph
from denoisert.runtime.errors import BuildError, OutOfProfile

Function = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class TorchEngine:
    """One ONNX graph, executed by torch.

    A graph with a dynamic first dimension is served at any lane count up to 16; one with a fixed
    first dimension at that count only. Further named dimensions are fixed by `at`. Each count and
    size is specialised when it is first used: shapes are folded, and what torch can write into
    given memory has its place in an arena. Calls that one thread binds at one size share it, so
    they run one after the other.
    Convolution, attention and normalisation have no such form in torch: their results come from
    torch's allocator, which under a captured CUDA graph is the graph's own pool.

    Args:
        graph: the ONNX file.
        weights_root: folder that the locations of external weights are relative to.
        device: where it runs, as torch names it.
        dtype: "float32", "float16", "bfloat16" or "float64", of weights, activations and outputs,
            see `precision.py` for what stays float32; or "written", each node in the file's types.

    Raises:
        BuildError: the graph, the device or the dtype cannot be used; the message names what.
    """

    def __init__(
        self, graph: Path, weights_root: Path, *, device: str = "cpu", dtype: str = "float32"
    ) -> None:
        precision = Precision.named(dtype)
        self._device = _usable(device)
        folded = fold(read_graph(graph, weights_root))
        read = folded if precision.is_written else fuse(folded)
        self.device = str(self._device)
        self.inputs, self.outputs = precision.ports(read)
        self.buckets = lane_buckets(self.outputs, LARGEST_BUCKET)
        self._plans = Plans(read, precision, self._device)

    def workspace_bytes(self, bucket: int) -> int:
        """The arena of a bound call; what torch's allocator serves comes on top.

        Calls that one thread binds at one size share the largest of their arenas.

        Raises:
            OutOfProfile: the bucket does not exist, or a size is not fixed.
            EngineError: the engine is closed.
        """
        return self.plan(bucket).arena_bytes

    def plan(self, bucket: int) -> Plan:
        """The calls at a number of lanes and where their results lie.

        Raises:
            OutOfProfile: the bucket does not exist, or a size is not fixed.
            EngineError: the engine is closed.
            BuildError: an operator cannot take its inputs, or a shape depends on values.
        """
        return self._plans.plan(*self._ports(bucket))

    def bind(self, bucket: int, buffers: Mapping[str, AnyBuffer]) -> TorchBound:
        """Fix the buffers of one call; see `Engine.bind`.

        Args:
            bucket: one of `buckets`.
            buffers: port name -> tensor on the engine's device, used in place, or NumPy array:
                used in place on a CPU, copied in and out by each run on another device.

        Raises:
            OutOfProfile: the bucket does not exist, a size is not fixed, or a buffer is missing or
                has another shape, dtype, device or layout.
            EngineError: the engine is closed, or torch failed.
            OutOfMemory: the weights or the arena do not fit on the device.
            BuildError: an operator cannot take its inputs, or a shape depends on values.
        """
        with reported("binding"):
            found, constants = self._plans.ready(*self._ports(bucket))
            placed = place_buffers(self.inputs, self.outputs, bucket, buffers, self._device)
            arena = self._plans.arena(self.inputs, found.arena_bytes)
            given = {name: placed.tensors[name] for name in found.program.inputs}
            shown = {port.name: placed.tensors[port.name] for port in self.outputs}
            actions = Binder(found, constants | given, shown, arena).actions()
        return TorchBound(actions, self._device, placed)

    def function(self, bucket: int, backend: str = "") -> Function:
        """The network as a pure function, differentiable with respect to its float inputs.

        Args:
            bucket: one of `buckets`.
            backend: of `torch.compile`, for example "inductor"; "" runs call by call.

        Returns:
            Port name -> tensor to port name -> new tensor, on the engine's device.

        Raises:
            OutOfProfile: the bucket does not exist, or a size is not fixed.
            EngineError: the engine is closed.
            BuildError: an operator cannot take its inputs, or a shape depends on values.
        """
        found, constants = self._plans.ready(*self._ports(bucket))
        function = TorchFunction(found.program, constants)
        if not backend:
            return function
        compiled: Function = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
        return compiled

    def at(self, sizes: Mapping[str, int]) -> TorchEngine:
        """The same weights with the sizes of named axes fixed; see `Engine.at`."""
        return sized(self, sizes)

    def close(self) -> None:
        """Release the weights, at every size; they go with the last bound call."""
        self._plans.close()

    def _ports(self, bucket: int) -> tuple[Ports, Ports]:
        """Inputs and outputs at a number of lanes."""
        if bucket not in self.buckets:
            raise OutOfProfile(
                f"{bucket} lanes asked for, the engine is compiled for {self.buckets}."
            )
        return _at(self.inputs, bucket), _at(self.outputs, bucket)


def _usable(name: str) -> torch.device:
    """The device, with its number."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise BuildError(f"device {name!r} asked for; torch cannot use it: {error}") from error


def _at(ports: Ports, bucket: int) -> Ports:
    return tuple(replace(port, dims=port.shape(bucket)) for port in ports)

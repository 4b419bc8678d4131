"""Where our loop runs: engines and devices, by the name of the provider.

The two providers on CUDA share one engine, so the captured tick and the eager one run the same
calls on the same weights. On a CPU the torch device runs interpreted kernels: its figures are
none, its pictures count.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from triton import knobs

from bench.loop.shapes.files import Saved
from denoisert.runtime.devices.device import Device
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.torch.engine import TorchEngine

OURS, EAGER, INTERPRETED = "denoisert", "denoisert eager", "denoisert torch"


class Place(NamedTuple):
    """Where our loop runs.

    Args:
        engine: a loaded shape.
        device: holds the pool's memory.
    """

    engine: Engine
    device: Device


class Places:
    """Every place for one shape; an engine is loaded when it is first asked for.

    Args:
        files: the written shape.
        device: "cpu" or "cuda".
        dtype: of the network; a CPU runs float32.
    """

    def __init__(self, files: Saved, device: str, dtype: str) -> None:
        self._files, self._device, self._dtype = files, device, dtype

    @property
    def names(self) -> tuple[str, ...]:
        """Of the places that this process has."""
        if self._device == "cuda":
            return OURS, EAGER
        return (OURS, INTERPRETED) if knobs.runtime.interpret else (OURS,)

    def place(self, name: str) -> Place:
        """One of `names`."""
        if name == EAGER:
            return Place(self._torch, TorchDevice(self._device, most_graphs=0))
        if name == INTERPRETED or self._device == "cuda":
            return Place(self._torch, TorchDevice(self._device))
        return Place(self._ort, NumpyDevice())

    def close(self) -> None:
        """Release what has been loaded."""
        for name in ("_torch", "_ort"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    @cached_property
    def _torch(self) -> Engine:
        graph, root = self._files
        return TorchEngine(graph, root, device=self._device, dtype=self._dtype)

    @cached_property
    def _ort(self) -> Engine:
        return OrtEngine(self._files.graph, self._files.root, threads=1)

"""The device that torch and Triton serve: CUDA, or a CPU that interprets the same kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from denoisert.runtime.devices.torch.memory import TorchMemory
from denoisert.runtime.devices.torch.stage import Stage
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.target import GRAPHS
from denoisert.runtime.errors import Incompatible
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.graphs import Eager, Graphs, Rounds


class TorchDevice:
    """A CUDA device; or "cpu", which needs TRITON_INTERPRET=1 and is there to be tested.

    Args:
        name: as torch names it, "cuda", "cuda:1" or "cpu".
        most_graphs: captured ticks that a pool keeps; 0 launches every tick anew.

    Raises:
        Incompatible: torch knows no such device here.
    """

    def __init__(self, name: str = "cuda", most_graphs: int = GRAPHS) -> None:
        self.name = name
        self._most_graphs = most_graphs
        self._device = torch.device(name)
        self.title: str | None = None
        if self._device.type != "cuda":
            return
        if not torch.cuda.is_available():
            raise Incompatible(
                f"{name} was asked for, and torch {torch.__version__} finds no CUDA device. "
                "Install a CUDA build of torch and a driver, or open the runtime on the CPU."
            )
        self.title = torch.cuda.get_device_name(self._device)

    def memory(
        self, layout: StateLayout, denoisers: Sequence[Denoiser], *, slots: int, rows: int
    ) -> TorchMemory:
        """Memory of a new pool; see `Device.memory`."""
        stage = Stage(self._device)
        rounds: Rounds = Eager()
        if stage.stream is not None and self._most_graphs:
            rounds = Graphs(stage.stream, self._most_graphs)
        return TorchMemory(layout, denoisers, slots, rows, stage=stage, rounds=rounds)

"""The plans of one graph, by number of lanes and sizes, and what they have in common."""

from __future__ import annotations

from threading import Lock, local
from typing import Final

import torch
from torch import Tensor

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.graph import Graph
from denoisert.runtime.engines.torch.plan import Plan, plan
from denoisert.runtime.engines.torch.precision import Precision
from denoisert.runtime.engines.torch.program import specialise
from denoisert.runtime.errors import EngineError

Ports = tuple[Port, ...]

EVERYWHERE: Final[Ports] = ()
"""Where a constant belongs that is the same at every number of lanes and size."""


class Plans:
    """Makes plans when they are first asked for; any thread may ask.

    Weights are shared by all plans. An arena is shared by the calls that one thread binds at one
    size: they run one after the other, while pools of two sizes may overlap on a device.

    Args:
        graph: folded and fused.
        precision: float types.
        device: where constants and arenas lie.
    """

    def __init__(self, graph: Graph, precision: Precision, device: torch.device) -> None:
        self._graph: Graph | None = graph
        self._precision = precision
        self._device = device
        self._plans: dict[Ports, Plan] = {}
        self._constants: dict[tuple[str, Ports], Tensor] = {}
        self._lock = Lock()
        self._own = local()

    def plan(self, inputs: Ports, outputs: Ports) -> Plan:
        """The calls at some dimensions and where their results lie.

        Args:
            inputs: of the graph, every dimension a number.
            outputs: likewise.

        Raises:
            EngineError: the engine is closed.
            BuildError: an operator cannot take its inputs, or a shape depends on values.
        """
        with self._lock:
            return self._plan(inputs, outputs)

    def ready(self, inputs: Ports, outputs: Ports) -> tuple[Plan, dict[str, Tensor]]:
        """A plan and its constants on the device; see `plan`."""
        with self._lock:
            found = self._plan(inputs, outputs)
            constants = found.program.constants
            keys = {
                name: (name, EVERYWHERE if constant.is_shared else inputs)
                for name, constant in constants.items()
            }
            for name, key in keys.items():
                if key not in self._constants:
                    self._constants[key] = constants[name].on(self._device)
            return found, {name: self._constants[key] for name, key in keys.items()}

    def arena(self, sizes: Ports, nbytes: int) -> Tensor:
        """This thread's arena at a size, a larger one where it does not suffice.

        Args:
            sizes: the graph's inputs at this size, whatever the lanes.
            nbytes: that are needed.
        """
        arenas: dict[Ports, Tensor] = self._own.__dict__.setdefault("arenas", {})
        known = arenas.get(sizes)
        if known is None or known.numel() < nbytes:
            known = torch.empty(nbytes, dtype=torch.uint8, device=self._device)
            arenas[sizes] = known
        return known[:nbytes]

    def close(self) -> None:
        """Release the weights; they go with the last bound call. Twice is harmless."""
        with self._lock:
            self._graph = None
            self._constants, self._plans, self._own = {}, {}, local()

    def _plan(self, inputs: Ports, outputs: Ports) -> Plan:
        if self._graph is None:
            raise EngineError("the engine is closed. Load it again.")
        if inputs not in self._plans:
            self._plans[inputs] = plan(specialise(self._graph, inputs, outputs, self._precision))
        return self._plans[inputs]

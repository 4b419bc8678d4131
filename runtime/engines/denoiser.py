"""A denoiser as the loop sees it: an engine and what its ports mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from denoisert.runtime.bundle.card import Network, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput
from denoisert.runtime.engines.engine import Buffer, Engine
from denoisert.runtime.layout import StateLayout


@dataclass(frozen=True, slots=True)
class Denoiser:
    """One engine of a pool.

    Args:
        engine: the compiled network.
        network: names of its time, its scalars and its outputs.
        conditions: its conditioning inputs.
        layout: the state it takes, one input per part.
    """

    engine: Engine
    network: Network
    conditions: tuple[ConditionInput, ...]
    layout: StateLayout

    @property
    def has_scalar_time(self) -> bool:
        """Whether one call takes one time for all its lanes."""
        return self.network.time_shape is TimeShape.SCALAR

    def slices(self, buffers: Mapping[str, Buffer], first: int, count: int) -> dict[str, Buffer]:
        """What one call reads and writes.

        Args:
            buffers: port name -> all lanes of the pool.
            first: lane that the call begins with.
            count: its lanes.

        Returns:
            Port name -> these lanes; a scalar time is the first of them.
        """
        found = {name: values[first : first + count] for name, values in buffers.items()}
        if self.has_scalar_time:
            port = next(port for port in self.engine.inputs if port.name == self.network.time)
            found[port.name] = found[port.name][:1].reshape(port.shape(1))
        return found

"""A denoiser as the loop sees it: an engine and what its ports mean."""

from __future__ import annotations

from dataclasses import dataclass

from denoisert.runtime.bundle.card import Network, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput
from denoisert.runtime.engines.engine import Engine
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

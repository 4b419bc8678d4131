"""A denoiser as the loop sees it: an engine and what its ports mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.bundle.card import Card, Network, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput
from denoisert.runtime.bundle.sizes import conditions_at, state_sizes
from denoisert.runtime.engines.engine import Buffer, Engine, Port, fixed
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.packing import check_channels
from denoisert.runtime.sampling.table import SamplerTable


@dataclass(frozen=True, slots=True)
class Denoiser:
    """One engine of a pool.

    Args:
        engine: the compiled network.
        network: names of its time, its scalars and its outputs.
        conditions: what a request tells it, by the card.
        layout: the state it takes, one input per part.
    """

    engine: Engine
    network: Network
    conditions: tuple[ConditionInput, ...]
    layout: StateLayout

    @classmethod
    def of(cls, engine: Engine, card: Card) -> tuple[Denoiser, ...]:
        """One denoiser for each layout of a card, all of them on the same engine.

        Raises:
            BuildError: the graph has axes that the card does not speak of.
        """
        return tuple(
            cls(
                fixed(engine, state_sizes(card, layout), "denoiser"),
                card.network,
                conditions_at(card, layout),
                layout,
            )
            for layout in card.layouts
        )

    @property
    def banked(self) -> tuple[Port, ...]:
        """Inputs that stay the same during a request: conditions, or what became of them."""
        parts = (part.name for part in self.layout.parts)
        moving = {*parts, self.network.time, *self.network.scalars}
        return tuple(port for port in self.engine.inputs if port.name not in moving)

    @property
    def conditioned_bytes(self) -> int:
        """Of what a conditioner makes of one branch; 0 where conditions are fed as they are."""
        told = {entry.name for entry in self.conditions}
        return sum(port.nbytes(1) for port in self.banked if port.name not in told)

    @property
    def has_scalar_time(self) -> bool:
        """Whether one call takes one time for all its lanes."""
        return self.network.time_shape is TimeShape.SCALAR

    def check(self, table: SamplerTable, engine: int = 0) -> None:
        """Refuse a table that reads or tells what the network does not have.

        Args:
            table: the sampler.
            engine: this denoiser's index among those that the table names.

        Raises:
            InvalidInput: a port that the card does not list, a scalar that it does not name, or
                weights for each channel of a state whose channels differ in size.
        """
        check_channels(table, self.layout)
        asked = (table.condition >= 0) & (table.engine == engine)
        port = int(table.port[asked].max(initial=0))
        told = np.flatnonzero(table.scalars[asked].any(axis=0))
        ports, names = len(self.network.ports), self.network.scalars
        if port >= ports:
            raise InvalidInput(
                f"the sampler reads output port {port}, as a learned variance; the card lists "
                f"{ports}, counted from 0. Take a solver that reads the prediction alone, or list "
                "the port in the card."
            )
        if told.size and told[-1] >= len(names):
            raise InvalidInput(
                f"the sampler tells the network more than the time, scalars 0 to {told[-1]}, as "
                f"the size of a step; the card names inputs for {', '.join(names) or 'none'}. Take "
                "a solver that tells no more, or name the inputs in the card."
            )

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

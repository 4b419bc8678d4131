"""What can be probed: a loop that asks a network and ends in a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from denoisert.export.probe.convention import Convention
from denoisert.runtime.sampling.grid import Point

Network = Callable[[torch.Tensor, float], torch.Tensor]


class Marks(NamedTuple):
    """What a source knows about one of its stages beside the arithmetic.

    Args:
        point: where the network is asked, in the network's coordinates.
        ends: whole steps of the grid that are done with this stage.
    """

    point: Point
    ends: int


class Source(Protocol):
    """A foreign sampler with its options, ready to be run any number of times."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    @property
    def meaning(self) -> Convention:
        """What it takes the network's output for."""
        ...

    def run(self, network: Network, start: torch.Tensor) -> torch.Tensor:
        """The sampler's own loop from its own beginning.

        Args:
            network: called once per stage with its input, as the network takes it, and the time.
            start: standard normal noise, or the source latent of an inversion.

        Returns:
            The final sample.
        """
        ...

    def marks(self) -> tuple[Marks, ...]:
        """Every stage of the last run on coordinate vectors, in order."""
        ...

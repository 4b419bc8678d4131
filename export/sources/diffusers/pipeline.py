"""What the pipeline of a scheduler adds to its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Times(Enum):
    """Who divides the times of a flow.

    SCHEDULER: the scheduler, from 1 to the least time. PIPELINE: its pipeline, from 1 to 1/N, as
    FLUX's do.
    """

    SCHEDULER = "scheduler"
    PIPELINE = "pipeline"

    def __repr__(self) -> str:
        return f"Times.{self.name}"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How a scheduler is called.

    Args:
        times: who divides the times of a flow.
        tokens: that the network sees of a latent, for a shift that depends on them.
        ports: outputs of the network that the card lists; a learned variance is the second.
        edge: of a token in positions of the latent, where its size says how many there are.
    """

    times: Times = Times.SCHEDULER
    tokens: int = 4096
    ports: int = 1
    edge: int | None = None

"""A foreign sampler as one of our solvers, on the schedule and steps it was probed at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from denoisert.export.probe.canonical import Start
from denoisert.export.probe.convention import Convention
from denoisert.export.probe.visited import Visited
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Rows

PINNED = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Probed:
    """A solver that was imported; fold its rows with any parametrisation and guidance.

    Args:
        name: of the source.
        pinned: its rows.
        meaning: what the source takes the network's output for.
        start: whether it starts from noise or from a source latent.
        minimal: (S + 1), registers needed at every boundary, the rank of the future's map.
        residual: largest relative error of the least squares.
        error: relative error of a sample against the source, in float64.
        straying: how far it strays from its path with the exact network of one picture, as
            `meaning.straying` has it; 0 for a sampler that is exact there.
        is_merged: whether a row's draws were merged, so that its noise is equal in law only.
    """

    order: ClassVar[int] = 0  # unknown: the probe sees rows, not what they converge to

    name: str
    pinned: Rows
    meaning: Convention
    start: Start
    minimal: tuple[int, ...]
    residual: float
    error: float
    straying: float
    is_merged: bool

    def __repr__(self) -> str:
        return (
            f"Probed({self.name}, steps={self.steps}, stages={self.stages}, "
            f"registers={self.registers}, draws={self.draws})"
        )

    @property
    def stages(self) -> int:
        """S, network evaluations of one branch."""
        return self.pinned.stages

    @property
    def steps(self) -> int:
        """Intervals of the schedule."""
        return int(self.pinned.steps[-1])

    @property
    def registers(self) -> int:
        """K, latents that are kept."""
        return max(self.minimal)

    @property
    def draws(self) -> int:
        """Normal draws of one sample, the start among them."""
        return int(self.pinned.draws.sum())

    @property
    def evaluations_per_step(self) -> int:
        """The most network calls of one branch inside one step."""
        done = [0, *self.pinned.steps[1:].tolist()]
        begins = done[:-1]
        return max(begins.count(step) for step in set(begins))

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Where every step starts."""
        done = self.pinned.steps
        return tuple(
            point
            for stage, point in enumerate(self.pinned.points)
            if stage == 0 or done[stage] > done[stage - 1]
        )

    @property
    def grid(self) -> Grid:
        """The schedule as a grid, ending at the clean latent.

        Raises:
            InvalidInput: the noise does not fall, as in an inversion.
        """
        ends = [*self.points, Point(1.0, 0.0, np.nan)]
        alpha, sigma, times = (np.array([point[i] for point in ends]) for i in range(3))
        return Grid(alpha, sigma, times, float(sigma[0]))

    @property
    def schedule(self) -> Visited:
        """Where its steps lie, for Request(solver=probed, schedule=probed.schedule).

        Raises:
            InvalidInput: the noise does not fall, as in an inversion.
        """
        _ = self.grid
        return Visited(tuple(point[:3] for point in self.points))

    def rows(self, grid: Grid | None = None) -> Rows:
        """The rows, on the schedule of the probe and no other.

        Args:
            grid: of the run, checked; None takes the probe's own.

        Raises:
            InvalidInput: another grid.
        """
        if grid is not None:
            self._check(grid)
        return self.pinned

    def _check(self, grid: Grid) -> None:
        if grid.steps != len(self.points):
            raise InvalidInput(
                f"{self.name} was probed at {len(self.points)} steps, the grid has {grid.steps}. "
                "Probe it again with as many."
            )
        for step, mine in enumerate(self.points):
            pair = np.array([mine[:3], grid[step][:3]])
            if not np.allclose(pair[0], pair[1], rtol=PINNED, atol=PINNED):
                raise InvalidInput(
                    f"{self.name} was probed on another schedule: step {step} starts at (alpha, "
                    f"sigma, time) = {tuple(pair[0].tolist())}, in the grid at "
                    f"{tuple(pair[1].tolist())}. Take its own: "
                    "Request(solver=probed, schedule=probed.schedule)."
                )

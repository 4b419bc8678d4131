"""What every solver can say about itself and about a grid."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Rows


@runtime_checkable
class Solver(Protocol):
    """Anything that turns a grid into rows; it knows no network, no guidance and no clipping."""

    @property
    def order(self) -> int:
        """Convergence order of its whole steps; of a stochastic solver the weak order.

        A multistep solver begins, and many end, with steps of lower order: on very fine grids
        their errors are what is left, and the slope is theirs.
        """
        ...

    @property
    def evaluations_per_step(self) -> int:
        """Network calls of one branch inside one step, the most that any step makes."""
        ...

    def rows(self, grid: Grid) -> Rows:
        """The rows of this solver on a grid.

        Raises:
            InvalidInput: the solver does not fit the grid's path; the message lists those that do.
        """
        ...

"""What samplers of reflected diffusion are tried on: points in a box, whose law is the truth."""

from __future__ import annotations

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.subject import OracleSubject, Samples
from denoisert.runtime.sampling.oracle import Reflected, sliced_wasserstein
from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
from denoisert.runtime.sampling.solvers import PredictorCorrector, Solver
from denoisert.runtime.sampling.table import SamplerTable

BOX = (0.0, 1.0)
DATA = 0xDA7A  # beside the seed: true points are not those of the noise


class BoxedSubject(OracleSubject):
    """Points in a box with their exact score; the truth is a set of them.

    No flow leads from a start to an end here, for walls reflect on the way: solvers are compared by
    the distance of sets alone.

    Args:
        data: points in the box.
        schedule: the path, whose alpha has to be 1.
        spacing: where the steps lie.
        points: samples.
        seed: of the noise and of the true points.
    """

    def __init__(
        self, data: Reflected, schedule: NoiseSchedule, spacing: Spacing, *, points: int, seed: int
    ) -> None:
        width = data.points.shape[1]
        super().__init__(data, width, schedule, spacing, points=points, seed=seed, fine=0)
        rng = np.random.default_rng([seed, DATA])
        self._points, self._others = (data.sample(rng, points).reshape(-1, width) for _ in range(2))

    def table(self, solver: Solver, steps: int) -> SamplerTable:
        """The unguided table of a solver that stays inside.

        Raises:
            InvalidInput: a solver whose latents leave the box, where there is no score.
        """
        if not isinstance(solver, PredictorCorrector) or solver.box != BOX:
            raise InvalidInput(
                f"{solver} does not keep latents in the box {BOX}, and outside the data have no "
                "score. Use PredictorCorrector(box=(0.0, 1.0))."
            )
        return super().table(solver, steps)

    def truth(self, solver: Solver, steps: int) -> Samples:
        """Points of the data, the same for every solver."""
        return self._points

    def spread(self) -> float:
        """Distance between two true sets: what chance alone makes of so few points."""
        return sliced_wasserstein(self._points, self._others)

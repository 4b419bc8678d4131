"""What one loop benchmark computes: a network, a sampler, guidance, and how many pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.loop.baselines import Steps
from bench.loop.shapes.files import Shape
from denoisert.kernels.philox import reference as philox
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.sampling.solvers import Solver

SEED = 7
CLASS, OTHER_CLASS = 3, 10


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a loop, the same for every provider.

    Args:
        shape: the network.
        solver: ours.
        scheduler: the same method in eager torch.
        steps: N.
        guidance: scale; 1 runs the cond branch alone.
        pictures: computed at once.
    """

    shape: Shape
    solver: Solver
    scheduler: Steps
    steps: int
    guidance: float
    pictures: int

    @property
    def name(self) -> str:
        """For the name of a case."""
        solver = type(self.solver).__name__
        return f"{self.shape.name} {solver} {self.steps} steps batch {self.pictures}"

    @property
    def lanes(self) -> int:
        """Network evaluations of one step."""
        return self.pictures * (1 if self.guidance == 1.0 else 2)

    def noise(self) -> np.ndarray:
        """(pictures, C, H, W): the noise that our runtime starts from."""
        count = int(np.prod(self.shape.latent))
        drawn = [
            philox.normals(SEED, draw=0, count=count, image=image) for image in range(self.pictures)
        ]
        return np.stack(drawn).reshape(self.pictures, *self.shape.latent)

    def conditions(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Input -> values of one lane, for the cond branch and for the uncond branch."""
        generator, ports = np.random.default_rng(SEED), self.shape.conditions
        cond = {port.name: _values(port, generator, CLASS) for port in ports}
        uncond = {port.name: _values(port, generator, OTHER_CLASS) for port in ports}
        return cond, uncond


def _values(port: Port, generator: np.random.Generator, label: int) -> np.ndarray:
    if port.dtype == "int64":
        return np.asarray(label)
    return generator.standard_normal(port.shape(1)[1:], np.float32)

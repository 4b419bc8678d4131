"""One solver beside somebody else's code for it: same grid, same network, same noise.

Families of solvers list their cases in `tests/runtime/sampling/parity/`. One test runs them all,
and the table of `docs/solvers.md` is made of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.table import SamplerTable
from tests.oracles.pair import (
    LAYOUT,
    SHAPE,
    TOLERANCE,
    UPSTREAM_NAME,
    takes_prediction_type,
    tanh_network,
    upstream,
)
from tests.oracles.pair import theirs as run_upstream

Answer = Callable[[np.ndarray, float], np.ndarray]
Reference = Callable[[Answer, list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A solver, a grid and a reference.

    solver: ours. grid: where it runs. parametrisation: what the network answers.
    source: who says what it should be, as "diffusers DEISMultistepScheduler" or a paper's equation.
    reference: (network, draws) -> final latent in network coordinates; the first draw is the
        initial noise of variance 1, or the source where the solver has one, and
        network(latent, model_time) answers in float64.
    settings: what else the source was told, for readers.
    tolerance: relative, in float64; more than 1e-12 needs its reason beside it.
    """

    solver: Solver
    grid: Grid
    parametrisation: Parametrisation
    source: str
    reference: Reference
    settings: str = ""
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        words = (self.solver, self.source, self.settings, self.parametrisation.value)
        return " ".join(str(word) for word in words if word)

    def table(self) -> SamplerTable:
        """Ours, without guidance."""
        return fold(self.solver.rows(self.grid), self.parametrisation, Unguided())

    def draws(self, seed: int) -> list[np.ndarray]:
        """The noise of one comparison, as many draws as the table consumes and a few more."""
        rng = np.random.default_rng([seed, 1])
        count = max(1, int(self.table().draws.sum())) + 8
        return [rng.standard_normal(LAYOUT.elements) for _ in range(count)]

    def ours(self, seed: int, dtype: type = np.float64) -> np.ndarray:
        """Our final latent, registers and coefficients in `dtype`."""
        network = tanh_network(np.random.default_rng(seed))
        noise = [draw.astype(dtype) for draw in self.draws(seed)]

        def answer(latent: np.ndarray, time: float, *_: object) -> np.ndarray:
            return network(latent.astype(np.float64), time).astype(dtype)

        externals = {"source": noise[0]} if "source" in self.table().externals else {}
        found = execute(self.table(), LAYOUT, answer, noise, externals)
        return found.latent.astype(np.float64)

    def theirs(self, seed: int) -> np.ndarray:
        """The reference's final latent."""
        network = tanh_network(np.random.default_rng(seed))
        return self.reference(network, self.draws(seed)).reshape(-1)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """max|difference| / max|reference|."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def diffusers(
    solver: Solver,
    name: str,
    grid: Grid,
    parametrisation: Parametrisation = Parametrisation.EPS,
    *,
    is_ve: bool = False,
    step: Callable[[list[np.ndarray]], dict] = lambda draws: {},
    times: object = None,
    tolerance: float = TOLERANCE,
    **config: object,
) -> Case:
    """A case against `diffusers.schedulers.scheduling_<name>` in float64.

    Args:
        solver: ours.
        name: of upstream's file, without its prefix.
        grid: ours, which must visit upstream's points.
        parametrisation: what the network answers.
        is_ve: whether upstream's states are x / alpha.
        step: draws after the first -> further arguments of upstream's `step`.
        times: what `set_timesteps` is given instead of the step count: a dictionary.
        tolerance: as of `Case`.
        config: of upstream's scheduler.
    """
    named = {"prediction_type": UPSTREAM_NAME[parametrisation]}
    told = {**(named if takes_prediction_type(name) else {}), **config}

    def reference(network: Answer, draws: list[np.ndarray]) -> np.ndarray:
        scheduler = upstream(name, times or grid.steps, **told)
        return run_upstream(scheduler, network, draws, grid if is_ve else None, **step(draws[1:]))

    kind = type(upstream(name, times or grid.steps, **told)).__name__
    settings = ", ".join(f"{key}={value}" for key, value in config.items())
    return Case(solver, grid, parametrisation, f"diffusers {kind}", reference, settings, tolerance)


def shaped(draws: list[np.ndarray]) -> list[np.ndarray]:
    """Draws in the shape of upstream's latents, for its `variance_noise`."""
    return [draw.reshape(SHAPE) for draw in draws]

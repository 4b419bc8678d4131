"""What solvers are tried on: data whose truth is known, or a network and its own many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.request import Request
from denoisert.runtime.runtime import Runtime
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Denoiser, follow, sliced_wasserstein, solve
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.table import SamplerTable

Samples = NDArray[Any]

ORACLE_OUTPUT = Parametrisation.X0  # the one that determines D and E at pure noise
OTHER_SEED = 2**63


class Subject(Protocol):
    """What solvers are tried on."""

    def table(self, solver: Solver, steps: int) -> SamplerTable:
        """The solver's table, or its refusal."""
        ...

    def samples(self, solver: Solver, steps: int) -> Samples:
        """Results from always the same noise, (samples, width)."""
        ...

    def truth(self, solver: Solver, steps: int) -> Samples:
        """What exact sampling makes of that noise, (samples, width)."""
        ...


class OracleSubject:
    """Data with an exact denoiser; the truth is the probability flow, followed finely.

    Args:
        denoiser: of the data, `width` elements a point.
        width: elements of a point.
        schedule: the path.
        spacing: where the steps lie.
        points: samples.
        seed: of the noise.
        fine: steps of the truth.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        width: int,
        schedule: NoiseSchedule,
        spacing: Spacing,
        *,
        points: int,
        seed: int,
        fine: int,
    ) -> None:
        self._denoiser, self._width = denoiser, width
        self._schedule, self._spacing = schedule, spacing
        self._elements, self._seed, self._fine = points * width, seed, fine
        self._truths: dict[tuple[object, ...], Samples] = {}

    def _grid(self, steps: int) -> Grid:
        return self._spacing.grid(self._schedule, steps)

    def _draw(self, number: int) -> Samples:
        return np.random.default_rng([self._seed, number]).standard_normal(self._elements)

    def table(self, solver: Solver, steps: int) -> SamplerTable:
        """The unguided table on this path."""
        return fold(solver.rows(self._grid(steps)), ORACLE_OUTPUT, Unguided())

    def samples(self, solver: Solver, steps: int) -> Samples:
        """The table's run in float64; what diverges is for the caller to see."""
        table = self.table(solver, steps)
        noise = [self._draw(number) for number in range(max(1, int(table.draws.sum())))]
        with np.errstate(all="ignore"):
            run = solve(table, [self._denoiser], ORACLE_OUTPUT, noise)
        return run.latent.reshape(-1, self._width)

    def truth(self, solver: Solver, steps: int) -> Samples:
        """The flow between the ends of the grid; the same for grids of the same ends."""
        grid = self._grid(steps)
        first, last = grid[0], grid[grid.steps]
        ends = grid.noise_gain, first[:2], last[:2]
        if ends not in self._truths:
            start = grid.noise_gain * self._draw(0)
            found = follow(self._denoiser, start, first, last, self._fine)
            self._truths[ends] = found.reshape(-1, self._width)
        return self._truths[ends]


class BundleSubject:
    """A compiled network; the truth is what one solver makes of many steps.

    Args:
        runtime: of the bundle.
        requests: what is asked; solver and steps are replaced.
        reference: the solver that makes the truth; see `most_accurate`.
        steps: its number of steps.
        spacing: where they lie; None takes that of the requests, which has to have so many.
    """

    def __init__(
        self,
        runtime: Runtime,
        requests: Sequence[Request],
        reference: Solver,
        steps: int,
        spacing: Spacing | None = None,
    ) -> None:
        self._runtime, self._requests = runtime, tuple(requests)
        self._reference, self._steps, self._spacing = reference, steps, spacing
        self._truth: Samples | None = None

    def table(self, solver: Solver, steps: int) -> SamplerTable:
        """The table as the runtime compiles it."""
        request = replace(self._requests[0], solver=solver, steps=steps)
        card = self._runtime.card
        return compile_table(Sampler.of(request, card), card)

    def samples(self, solver: Solver, steps: int) -> Samples:
        """Final latents of all requests, (pictures, elements), in float64."""
        asked = [replace(request, solver=solver, steps=steps) for request in self._requests]
        return self._latents(asked)

    def truth(self, solver: Solver, steps: int) -> Samples:
        """The reference's latents, the same for every solver."""
        if self._truth is None:
            self._truth = self._fine(self._requests, self._steps)
        return self._truth

    def uncertainty(self) -> float:
        """How far the reference still moves from half as many steps: errors below mean nothing."""
        half = self._fine(self._requests, max(1, self._steps // 2))
        return rms(half - self.truth(self._reference, self._steps))

    def spread(self) -> float:
        """Distance between two true sets of other seeds: what chance alone makes of so few."""
        asked = [replace(each, seed=each.seed ^ OTHER_SEED) for each in self._requests]
        half = self._fine(asked, max(1, self._steps // 2))
        return sliced_wasserstein(half, self.truth(self._reference, self._steps))

    def _fine(self, requests: Sequence[Request], steps: int) -> Samples:
        """What the reference makes of so many steps, on its own spacing."""
        return self._latents(
            [
                replace(
                    each,
                    solver=self._reference,
                    steps=steps,
                    schedule=self._spacing or each.schedule,
                )
                for each in requests
            ]
        )

    def _latents(self, requests: Sequence[Request]) -> Samples:
        results = self._runtime.generate(requests)
        for result in results:
            if result.error is not None:
                raise result.error
        return np.concatenate([result.flat for result in results]).astype(np.float64)


def rms(difference: Samples) -> float:
    """Root mean square of all elements."""
    return float(np.sqrt(np.mean(difference**2)))

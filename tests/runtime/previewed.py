"""Runs whose clean estimates diffusers knows as well: solver, grid, and the scheduler beside it."""

from dataclasses import dataclass, field

import numpy as np

from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.previews import with_previews
from denoisert.runtime.sampling.schedules import Cosine, Flow, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    Heun,
)
from tests.oracles import float64
from tests.oracles.pair import (
    EPS,
    FLOW,
    SCHEDULES,
    SHAPE,
    UPSTREAM_NAME,
    X0,
    V,
    their_estimates,
    upstream,
)

STEPS = 10


@dataclass(frozen=True)
class Case:
    """A solver on a path, and the name of diffusers' scheduler with what its `step` is given.

    has_ve_state: whether the scheduler keeps x / alpha.
    """

    solver: object
    name: str
    parametrisation: object
    schedule: object = field(default_factory=ScaledLinear)
    has_ve_state: bool = False

    def __str__(self):
        return f"{self.solver}-{self.parametrisation.value}-{type(self.schedule).__name__}"

    @property
    def grid(self):
        return Trailing().grid(self.schedule, STEPS)

    def table(self, scale, every):
        """The table with previews; `every` 0 leaves them out."""
        rows = self.solver.rows(self.grid)
        rows = with_previews(rows, every) if every else rows
        return fold(rows, self.parametrisation, CFG(scale))

    def estimates(self, network, noise):
        """diffusers' clean estimates at the ends of its steps, for a guided network."""
        step = {}
        if self.name == "euler_ancestral_discrete":
            step = {"generator": float64.Noises(noise[1:])}
        if isinstance(self.solver, DDIM):
            step = {
                "eta": self.solver.eta,
                "variance_noise": [draw.reshape(SHAPE) for draw in noise[1:]],
            }
        grid = self.grid if self.has_ve_state else None
        return their_estimates(self._scheduler(), network, noise, grid, **step)

    def _scheduler(self):
        if self.parametrisation is FLOW:
            sigmas = np.linspace(1.0, 1.0 / STEPS, STEPS)
            return upstream(self.name, {"sigmas": sigmas.tolist()}, shift=self.schedule.shift)
        config = {**SCHEDULES[self.schedule]}
        config["prediction_type"] = UPSTREAM_NAME[self.parametrisation]
        if self.name == "dpmsolver_multistep":
            times = self.grid.model_time[:-1].astype(int).tolist()
            return upstream(self.name, {"timesteps": times}, **config)
        if self.name == "ddim":
            config["clip_sample"] = False
        return upstream(self.name, STEPS, timestep_spacing="trailing", **config)


CASES = [
    *(Case(DDIM(), "ddim", each) for each in (EPS, V, X0)),
    *(Case(DDIM(eta=0.7), "ddim", each, Cosine()) for each in (EPS, V, X0)),
    *(Case(DPMpp2M(), "dpmsolver_multistep", each) for each in (EPS, V, X0)),
    *(Case(Euler(), "euler_discrete", each, has_ve_state=True) for each in (EPS, V, X0)),
    *(Case(Heun(), "heun_discrete", each, has_ve_state=True) for each in (EPS, V, X0)),
    *(
        Case(EulerAncestral(), "euler_ancestral_discrete", each, has_ve_state=True)
        for each in (EPS, V)
    ),
    *(
        Case(solver, "flow_match_euler_discrete", FLOW, Flow(3.0, time_scale=1000.0))
        for solver in (FlowEuler(), Euler())
    ),
]

"""SA-Solver beside diffusers, which has one modification where two points remain, our BH1."""

import numpy as np

from denoisert.runtime.sampling.schedules import Final, Linear, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers.dpm import Estimate
from denoisert.runtime.sampling.solvers.exponential import Slope
from denoisert.runtime.sampling.solvers.sa import SASolver
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, LAYOUT, SCHEDULES, X0, V

CLEAN, NOISE = Estimate
NAMES = {CLEAN: "data_prediction", NOISE: "noise_prediction"}


class Constant:
    """Upstream's tau function that is the same everywhere."""

    def __init__(self, tau):
        self.tau = tau

    def __call__(self, _):
        return self.tau

    def __repr__(self):
        return str(self.tau)


def case(solver, schedule, steps, parametrisation, **config) -> Case:
    """Upstream draws at every step, also where tau is 0: there ours draws nothing."""
    grid = Trailing(Final.LAST).grid(schedule, steps)
    drawn = solver.rows(grid).draws[1:]

    def aligned(draws):
        left = iter(draws)
        noises = [next(left) if count else np.zeros(LAYOUT.elements) for count in drawn]
        return {"generator": float64.Noises(noises)}

    told = {"predictor_order": solver.predictor, "corrector_order": solver.corrector}
    if solver.interval is None:
        told["tau_func"] = Constant(solver.eta)
    return diffusers(
        solver,
        "sasolver",
        grid,
        parametrisation,
        step=aligned,
        algorithm_type=NAMES[solver.estimate],
        timestep_spacing="trailing",
        **told,
        **SCHEDULES[schedule],
        **config,
    )


def between(schedule, low, high):
    """sigma / alpha at two model times."""
    alpha, sigma = schedule.at(np.array([low, high], float))
    return tuple(float(level) for level in sigma / alpha)


CASES = [
    *(
        case(SASolver(p, c, eta, slope=Slope.BH1), Linear(), 12, parametrisation)
        for p, c, eta, parametrisation in (
            (1, 1, 1.0, EPS),
            (1, 2, 1.0, EPS),
            (2, 2, 1.0, V),
            (2, 2, 0.3, X0),
            (3, 2, 1.0, V),
            (2, 3, 0.7, EPS),
            (3, 3, 1.0, EPS),
            (3, 3, 0.0, V),
            (3, 4, 1.0, V),
        )
    ),
    *(
        case(SASolver(p, p, interval=between(Linear(), 200, 800), slope=Slope.BH1), Linear(), 10, V)
        for p in (2, 3)
    ),
    *(
        case(SASolver(p, c, eta, estimate=NOISE), ScaledLinear(), 12, EPS)
        for p, c, eta in ((1, 1, 0.5), (2, 2, 0.5), (3, 3, 0.2), (3, 4, 0.0))
    ),
]

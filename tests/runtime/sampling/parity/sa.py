"""SA-Solver beside diffusers, whose modification is our BH1, and beside integrals by quadrature."""

import numpy as np

from denoisert.runtime.sampling.schedules import Final, Karras, Linear, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers.dpm import Estimate
from denoisert.runtime.sampling.solvers.exponential import Slope
from denoisert.runtime.sampling.solvers.sa import SASolver
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, LAYOUT, SCHEDULES, X0, V
from tests.runtime.sampling.parity.exponential import estimates, integral, lagrange

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
        told["tau_func"] = Constant(solver.tau)
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


def by_quadrature(solver, grid, parametrisation):
    """The paper's predictor and corrector on D, each integral by Gauss-Legendre."""
    rate = 1.0 + solver.tau**2

    def advance(x, nodes, past, step, noise):
        now, after = grid[step], grid[step + 1]
        h = after.half_logsnr - now.half_logsnr
        levels = [grid[node].half_logsnr for node in nodes]
        mean = 0.0
        for i, estimate in enumerate(past):
            weight = integral(
                lambda at, i=i: np.exp(-rate * (after.half_logsnr - at)) * lagrange(levels, i, at),
                now.half_logsnr,
                after.half_logsnr,
            )
            mean = mean + rate * weight * estimate
        kept = np.exp(-(solver.tau**2) * h) * after.sigma / now.sigma * x
        spread = after.sigma * np.sqrt(1 - np.exp(-2 * solver.tau**2 * h))
        return kept + after.alpha * mean + spread * noise

    def reference(network, draws):
        x, last, past = grid.noise_gain * draws[0], None, []
        for step in range(grid.steps):
            now = grid[step]
            past = [estimates(x, network(x, now.model_time), now, parametrisation)[0], *past]
            if step:
                count = min(solver.corrector, step + 1, grid.steps - step + 2)
                nodes = range(step, step - count, -1)
                x = advance(last, nodes, past[:count], step - 1, draws[step])
            count = min(solver.predictor, step + 1, grid.steps - step)
            last = x
            x = advance(x, range(step, step - count, -1), past[:count], step, draws[step + 1])
        return x

    return Case(solver, grid, parametrisation, "the paper's integrals by quadrature", reference)


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
    *(
        by_quadrature(solver, Karras(7.0, 0.05, 20.0, Final.LAST).grid(Linear(), 9), V)
        for solver in (SASolver(2, 2, 0.7), SASolver(3, 4), SASolver(1, 3, 0.4))
    ),
]

"""ER-SDE beside loops written like the published code: left sums of 100 points, VE and VP."""

import math

import numpy as np

from denoisert.runtime.sampling.schedules import Final, Flow, Karras, Linear
from denoisert.runtime.sampling.solvers.er_sde import ERSDE, NoiseScale, Quadrature
from tests.oracles.case import Case
from tests.oracles.pair import EPS, X0, V
from tests.runtime.sampling.parity.exponential import estimates

SCALES = {
    NoiseScale.ODE: lambda x: x,
    NoiseScale.SDE: lambda x: x**2,
    NoiseScale.SDE_1: lambda x: x * (np.exp(-1 / x) + 10),
    NoiseScale.SDE_2: lambda x: x**1.5,
    NoiseScale.SDE_3: lambda x: x**2.5,
    NoiseScale.SDE_4: lambda x: x**0.9 * np.log10(1 + 100 * x**1.5),
    NoiseScale.SDE_5: lambda x: x * (np.exp(x**0.3) + 10),
}


def taylor(grid, parametrisation, terms, phi):
    """One step after another as published; a step into k = 0 has one term and no noise."""

    def reference(network, draws):
        noises, k = iter(draws[1:]), grid.sigma / grid.alpha
        x, old, old_d = grid.noise_gain * draws[0], None, None
        for i in range(grid.steps):
            now, after = grid[i], grid[i + 1]
            x0 = estimates(x, network(x, now.model_time), now, parametrisation)[0]
            r = phi(k[i + 1]) / phi(k[i]) if k[i + 1] else 0.0
            new = after.alpha / now.alpha * r * x + after.alpha * (1 - r) * x0
            variance = k[i + 1] ** 2 - k[i] ** 2 * r**2
            if old is not None and terms > 1 and k[i + 1]:
                width = (k[i] - k[i + 1]) / 100
                points = k[i + 1] + np.arange(100) * width
                d = (x0 - old) / (k[i] - k[i - 1])
                s = np.sum(1 / phi(points)) * width
                new = new + after.alpha * (k[i + 1] - k[i] + s * phi(k[i + 1])) * d
                if old_d is not None and terms > 2:
                    s = np.sum((points - k[i]) / phi(points)) * width
                    dd = 2 * (d - old_d) / (k[i] - k[i - 2])
                    gain = (k[i + 1] - k[i]) ** 2 / 2 + s * phi(k[i + 1])
                    new = new + after.alpha * gain * dd
                old_d = d
            if variance > 1e-12 * k[i] ** 2:  # the published code drops what rounding leaves
                new = new + after.alpha * math.sqrt(variance) * next(noises)
            x, old = new, x0
        return x

    return reference


def case(terms, noise, grid, parametrisation) -> Case:
    return Case(
        ERSDE(terms, noise, Quadrature.SUM100),
        grid,
        parametrisation,
        "ER-SDE-Solver, its published loop",
        taylor(grid, parametrisation, terms, SCALES[noise]),
    )


VP = Karras(7.0, 0.02, 30.0, Final.LAST).grid(Linear(), 12)
# SDE_1 is nearly the ODE at high and low levels, where the published variance is mostly rounding.
LOW = Karras(7.0, 0.2, 3.0, Final.LAST).grid(Linear(), 12)
ENDED = Karras(7.0, 0.02, 30.0, Final.ZERO).grid(Linear(), 12)
FLOW = Karras(7.0, 0.02, 30.0, Final.LAST).grid(Flow(), 10)
CASES = [
    *(case(terms, NoiseScale.SDE_5, VP, EPS) for terms in (1, 2, 3)),
    *(case(terms, NoiseScale.SDE_5, ENDED, V) for terms in (2, 3)),
    *(case(3, noise, LOW, V) for noise in NoiseScale if noise is not NoiseScale.SDE_5),
    *(case(terms, NoiseScale.SDE_2, FLOW, X0) for terms in (1, 2, 3)),
]

"""EVODiff beside the authors' loop, arXiv 2509.26096, written out here on whole channels.

Its states are x = alpha x0 + sigma eps, which is the network's own form, and its time is the level
v = sigma / alpha. No reference calls our rule or our coefficient code.
"""

import numpy as np

from denoisert.runtime.sampling.schedules import (
    VE,
    Cosine,
    Exponential,
    Final,
    Flow,
    Karras,
    Linear,
    ScaledLinear,
)
from denoisert.runtime.sampling.solvers import EVODiff, LastStep
from tests.oracles.case import Case
from tests.oracles.pair import EPS, FLOW, SHAPE, X0, V

SOURCE = "EVODiff, samplers/evodiff.py"
EDM = Karras(sigma_min=0.002, sigma_max=80.0, final=Final.SPACED)
KEPT = Karras(sigma_min=0.05, sigma_max=30.0, final=Final.SPACED)
ZERO = Karras(sigma_min=0.03, sigma_max=14.0)


def dot(a, b):
    """Of every channel, (1, channels, 1, 1)."""
    return (a * b).sum(axis=(2, 3), keepdims=True)


def projection(a, b):
    return np.clip(dot(a, b) / dot(b, b), -2, 2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Loop:
    """One run: levels, the network as D(x, index), and the whole grid."""

    def __init__(self, network, grid, kind):
        self.network, self.grid, self.kind, self.steps = network, grid, kind, grid.steps
        with np.errstate(divide="ignore"):
            self.v = grid.sigma / grid.alpha

    def clean(self, x, index):
        alpha, sigma = self.grid.alpha[index], self.grid.sigma[index]
        time = self.grid.model_time[index]
        if index == self.steps:
            time = self.grid.path.model_time(self.v[index:])[0]
        said = self.network(x, float(time))
        if self.kind is EPS:
            return (x - sigma * said) / alpha
        if self.kind is V:
            return alpha * x - sigma * said
        return said if self.kind is X0 else x - sigma * said

    def euler(self, x, m, index):
        """sigma_t h and the first-order step to a point."""
        alpha, sigma = self.grid.alpha, self.grid.sigma
        ratio = sigma[index] / sigma[index - 1]
        k = alpha[index] - ratio * alpha[index - 1]
        return k, ratio * x + k * m

    def ending(self, x, m_0, m_1):
        """The last step of `lower_order_final`."""
        now, after = self.grid.sigma[-2:]
        k, x_e = self.euler(x, m_0, self.steps)
        q = after / now
        r = 1 - 0.5 * (np.sqrt(q) if q < 0.5 else np.sqrt(q - 0.5))
        return (1 - np.sqrt(after * now)) * x_e + 0.5 * k * (m_0 - r * m_1)

    def step(self, x, m_0, m_1, index):
        """One step through its probe: x and the estimate at the probe."""
        sigma, v = self.grid.sigma, self.v
        k, x_e = self.euler(x, m_0, index)
        h = 1 / v[index] - 1 / v[index - 1]
        rho = np.log(v[index - 2] / v[index - 1]) / np.log(v[index - 1] / v[index])
        fresh = sigma[index] / sigma[index - 1]
        b = np.sqrt(fresh / (sigma[index - 1] / sigma[index - 2]))
        weight = 0.5 * (1 - ((v[index] + v[-1]) / (v[0] + v[-1])) ** 2)
        r_1 = (1 - weight) * b + weight * projection(m_0, m_1)
        d_1 = m_0 - r_1 * m_1
        r_i = np.clip(sigmoid(0.25 * np.abs(r_1)) * rho, 0.25 * rho, 1.5 * rho)
        probe = x_e + 0.5 * k / r_i * d_1
        m_t = self.clean(probe, index)
        d_2 = m_t - ((1 - weight) * b + weight * projection(m_t, m_0)) * m_0
        before, after = d_1 / rho / h, rho / h * d_2
        eta = 0.5 * sigmoid(np.abs(0.5 * projection(after + before, after - before)))
        mixed = -eta / rho * d_1 + rho * (1 - eta) * d_2
        missed = probe - x_e - 0.5 * k / r_i * mixed
        excess = np.abs(projection(missed, d_1) / k) - 0.5
        if self.steps > 20:
            trend = projection(m_0, (m_0 - m_1) / h)
            excess = -excess * sigmoid(trend * (2 - fresh**2))
        return x_e + 0.5 * k / sigmoid(excess) * mixed, m_t

    def run(self, noise, last):
        x = self.grid.noise_gain * noise.reshape(SHAPE)
        m_1 = self.clean(x, 0)
        _, x = self.euler(x, m_1, 1)
        if self.steps == 1:
            return x
        m_0 = self.clean(x, 1)
        for index in range(2, self.steps + int(last is LastStep.FULL)):
            x, m_t = self.step(x, m_0, m_1, index)
            m_0, m_1 = m_t, m_0
        if last is LastStep.RELEASED:
            return self.ending(x, m_0, m_1)
        return x if last is LastStep.FULL else self.euler(x, m_0, self.steps)[1]


def case(spacing, schedule, steps, kind, last=LastStep.RELEASED):
    grid = spacing.grid(schedule, steps)

    def reference(network, draws):
        return Loop(network, grid, kind).run(draws[0], last)

    settings = f"{schedule}, {steps} steps"
    return Case(EVODiff(last), grid, kind, SOURCE, reference, settings)


CASES = [
    case(EDM, VE(), 5, X0),
    case(EDM, VE(), 10, X0),
    case(EDM, VE(), 30, X0),
    case(KEPT, VE(), 20, EPS),
    case(KEPT, Linear(), 9, EPS),
    case(KEPT, Cosine(), 24, V, LastStep.FULL),
    case(KEPT, VE(), 7, X0, LastStep.FULL),
    case(ZERO, ScaledLinear(), 12, V),
    case(ZERO, Flow(), 21, FLOW),
    case(ZERO, Linear(), 8, X0, LastStep.DDIM),
    case(ZERO, Linear(), 3, EPS),
    case(ZERO, Flow(), 2, FLOW),
    case(KEPT, Linear(), 2, V, LastStep.FULL),
    case(ZERO, VE(), 1, X0),
    case(Exponential(0.01, 50.0, Final.SPACED), VE(), 16, X0),
]

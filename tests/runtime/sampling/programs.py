"""Two solvers, a path and exact networks on it, small enough to be written out again in a test."""

import numpy as np

from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.oracle import Gaussian, Mixture
from denoisert.runtime.sampling.oracle import network as raw_network
from denoisert.runtime.sampling.rows import Program, Rows

ADAMS = ([1], [3, -1], [23, -16, 5], [55, -59, 37, -9])  # / 1, 2, 12, 24


def angles(steps, first=1.5, last=0.0):
    """A variance-preserving grid alpha = cos, sigma = sin, model_time = 100 angle."""
    angle = np.linspace(first, last, steps + 1)
    return Grid(np.cos(angle), np.sin(angle), 100 * angle, 1.0)


def coordinates(model_time):
    """(alpha, sigma) at a model_time of `angles`."""
    return float(np.cos(model_time / 100)), float(np.sin(model_time / 100))


def mixtures(seed=0):
    """Cond and uncond data of a nonlinear exact denoiser, four elements a point."""
    rng = np.random.default_rng(seed)
    return [
        Mixture(rng.uniform(0.2, 1, 3), rng.standard_normal((3, 4)), rng.uniform(0.05, 0.4, 3))
        for _ in range(2)
    ]


def exact(parametrisation, denoisers=None):
    """The raw network of exact denoisers on `angles`, by default of two mixtures."""
    return raw_network(denoisers or mixtures(), parametrisation, coordinates)


def gaussians():
    """Cond and uncond data of an affine exact denoiser."""
    return [Gaussian(0.7, 0.25), Gaussian(-0.3, 0.6)]


def ddim(grid, eta=0.0) -> Rows:
    """x_s = alpha_s D + sqrt(sigma_s^2 - c^2) E + c xi with a tap of D; one register."""
    program = Program(grid, 1)
    basis = program.basis
    for step in range(grid.steps):
        now, then, gain = grid[step], grid[step + 1], spread(grid, step, eta)
        update = then.alpha * basis.denoised + np.sqrt(then.sigma**2 - gain**2) * basis.noise
        program.stage(now, [update + gain * basis.draws[0]], taps=[(step, basis.denoised)])
    return program.rows()


def spread(grid, step, eta):
    """c, the noise gain of `ddim`."""
    now, then = grid[step], grid[step + 1]
    if now.alpha == 0 or eta == 0:
        return eta * then.sigma
    ratio = (now.alpha / then.alpha) ** 2
    return float(eta * then.sigma / now.sigma * np.sqrt(max(0.0, 1 - ratio)))


def multistep(grid) -> Rows:
    """Adams-Bashforth of order 4 in E, K = 4: x_s = (alpha_s / alpha_t) x_t + b mean of E."""
    program = Program(grid, 4)
    basis = program.basis
    x, *history = basis.registers
    for step in range(grid.steps):
        now, then = grid[step], grid[step + 1]
        weights = ADAMS[min(step, 3)]
        past = [basis.noise, *history]
        mean = sum(w * e for w, e in zip(weights, past, strict=False)) / sum(weights)
        ratio = then.alpha / now.alpha
        update = ratio * x + (then.sigma - ratio * now.sigma) * mean
        program.stage(now, [update, *past[:3]])
    return program.rows()


def moved(point: Point, scale: float) -> Point:
    """The same point for a latent kept `scale` times smaller than the network takes it."""
    return Point(point.alpha / scale, point.sigma / scale, point.model_time, scale)

"""DPM solvers beside k-diffusion, each loop written out here as k-diffusion states it.

Its states are x_ve = x / alpha at noise levels sigma_ve, t = -log(sigma_ve). No reference calls
our coefficient code.
"""

import math

import numpy as np

from denoisert.runtime.sampling.schedules import (
    Cosine,
    Final,
    Flow,
    Karras,
    Linear,
    ScaledLinear,
)
from denoisert.runtime.sampling.solvers import (
    DPMFast,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp2SAncestral,
    DPMpp3MSDE,
    DPMppSDE,
)
from denoisert.runtime.sampling.solvers.dpm import Form
from tests.oracles.case import Case
from tests.oracles.pair import EPS, FLOW, X0, V

VP = Karras(sigma_min=0.03, sigma_max=14.0)
KEPT = Karras(sigma_min=0.05, sigma_max=30.0, final=Final.SPACED)


class Model:
    """The network as k-diffusion calls it, and what it is told at a level."""

    def __init__(self, network, grid, parametrisation):
        self.network, self.path, self.kind = network, grid.path, parametrisation
        with np.errstate(divide="ignore"):
            self.levels = grid.sigma / grid.alpha
        self.ends = grid.alpha[0], grid.alpha[-1]
        self.gain = grid.noise_gain

    def point(self, level):
        """(alpha, sigma) at a level."""
        if level == 0.0:
            return 1.0, 0.0
        return tuple(float(each[0]) for each in self.path.coordinates(np.array([level])))

    def clean(self, x, level):
        """The clean estimate for x in network coordinates."""
        alpha, sigma = self.point(level)
        said = self.network(x, float(self.path.model_time(np.array([level]))[0]))
        if self.kind is EPS:
            return (x - sigma * said) / alpha
        if self.kind is V:
            return alpha * x - sigma * said
        return said if self.kind is X0 else x - sigma * said

    def noise(self, x, level):
        """The noise estimate."""
        alpha, sigma = self.point(level)
        return (x - alpha * self.clean(x, level)) / sigma

    def denoised(self, x_ve, level):
        """k-diffusion's model."""
        return self.clean(self.point(level)[0] * x_ve, level)


def ancestral(high, low, eta):
    """sigma_down and sigma_up."""
    up = min(low, eta * math.sqrt(low**2 * (high**2 - low**2) / high**2))
    return math.sqrt(low**2 - up**2), up


def dpmpp_2m(model, x, noise):
    old = None
    for i, (now, after) in enumerate(zip(model.levels[:-1], model.levels[1:], strict=True)):
        d = model.denoised(x, now)
        ratio, target = after / now, d
        if old is not None and after > 0.0:
            h, last = math.log(now / after), math.log(model.levels[i - 1] / now)
            target = (1 + h / (2 * last)) * d - h / (2 * last) * old
        x, old = ratio * x + (1 - ratio) * target, d
    return x


def dpmpp_2m_sde(model, x, noise, eta=1.0, s_noise=1.0, kind="midpoint"):
    old = last = None
    for now, after in zip(model.levels[:-1], model.levels[1:], strict=True):
        d = model.denoised(x, now)
        if after == 0.0:
            return d
        h = math.log(now / after)
        full = -math.expm1(-h * (1 + eta))
        x = after / now * math.exp(-eta * h) * x + full * d
        if old is not None:
            weight = 0.5 * full if kind == "midpoint" else 1 - full / (h * (1 + eta))
            x = x + weight * (h / last) * (d - old)
        if eta:
            x = x + after * math.sqrt(-math.expm1(-2 * eta * h)) * s_noise * noise.pop(0)
        old, last = d, h
    return x


def dpmpp_3m_sde(model, x, noise, eta=1.0, s_noise=1.0):
    past, lengths = [], []
    for now, after in zip(model.levels[:-1], model.levels[1:], strict=True):
        d = model.denoised(x, now)
        if after == 0.0:
            return d
        h = math.log(now / after)
        z = h * (1 + eta)
        phi_2 = math.expm1(-z) / z + 1
        phi_3 = phi_2 / z - 0.5
        x = math.exp(-z) * x - math.expm1(-z) * d
        if len(past) > 1:
            r_0, r_1 = lengths[0] / h, lengths[1] / h
            near, far = (d - past[0]) / r_0, (past[0] - past[1]) / r_1
            x = x + phi_2 * (near + (near - far) * r_0 / (r_0 + r_1))
            x = x - phi_3 * (near - far) / (r_0 + r_1)
        elif past:
            x = x + phi_2 * (d - past[0]) * h / lengths[0]
        if eta:
            x = x + after * math.sqrt(-math.expm1(-2 * h * eta)) * s_noise * noise.pop(0)
        past, lengths = [d, *past], [h, *lengths]
    return x


def dpmpp_2s_ancestral(model, x, noise, eta=1.0, s_noise=1.0):
    for now, after in zip(model.levels[:-1], model.levels[1:], strict=True):
        d = model.denoised(x, now)
        down, up = ancestral(now, after, eta)
        if down == 0.0:
            x = d
        else:
            middle = math.sqrt(now * down)
            guess = middle / now * x + (1 - middle / now) * d
            x = down / now * x + (1 - down / now) * model.denoised(guess, middle)
        if up > 0.0:
            x = x + up * s_noise * noise.pop(0)
    return x


def dpmpp_sde(model, x, noise, eta=1.0, s_noise=1.0, r=0.5):
    for now, after in zip(model.levels[:-1], model.levels[1:], strict=True):
        d = model.denoised(x, now)
        if after == 0.0:
            return d
        middle, share = math.exp((1 - r) * math.log(now) + r * math.log(after)), 1 / (2 * r)
        walk, path = [0.0, 0.0], [now - middle, middle - after]
        down, up = ancestral(now, middle, eta)
        guess = down / now * x + (1 - down / now) * d
        if eta:  # Brownian motion whose time is the level, up to its value at each of the two
            walk[0] = math.sqrt(path[0]) * noise.pop(0)
            guess = guess + walk[0] / math.sqrt(path[0]) * s_noise * up
        second = model.denoised(guess, middle)
        down, up = ancestral(now, after, eta)
        x = down / now * x + (1 - down / now) * ((1 - share) * d + share * second)
        if eta:
            walk[1] = math.sqrt(path[1]) * noise.pop(0)
            x = x + (walk[0] + walk[1]) / math.sqrt(path[0] + path[1]) * s_noise * up
    return x


def dpm_fast(model, x, noise, eta=0.0, s_noise=1.0, nfe=0):
    """nfe evaluations between the first and the last noisy level, then one to sigma = 0."""
    noisy = model.levels[model.levels > 0.0]
    start, end = -math.log(noisy[0]), -math.log(noisy[-1])
    count = nfe // 3 + 1
    orders = [3] * (count - 1) + [nfe % 3] if nfe % 3 else [3] * (count - 2) + [2, 1]
    ts = np.linspace(start, end, len(orders) + 1)
    for i, order in enumerate(orders):
        t, s, up = ts[i], ts[i + 1], 0.0
        if eta:
            down, _ = ancestral(math.exp(-t), math.exp(-s), eta)
            s = min(end, -math.log(down))
            up = math.sqrt(max(0.0, math.exp(-2 * ts[i + 1]) - math.exp(-2 * s)))
        x = fast_step(model, x, t, s - t, order)
        if up > 1e-9:
            x = x + up * s_noise * noise.pop(0)
    return model.denoised(x, noisy[-1]) if len(noisy) < len(model.levels) else x


def fast_step(model, x, t, h, order):
    """Orders 1, 2 and 3 in k-diffusion's coordinates, alpha = 1."""

    def eps(x_ve, t):
        return (x_ve - model.denoised(x_ve, math.exp(-t))) / math.exp(-t)

    first = eps(x, t)
    whole = x - math.exp(-t - h) * math.expm1(h) * first
    if order == 1:
        return whole
    if order == 2:
        guess = x - math.exp(-t - h / 2) * math.expm1(h / 2) * first
        return whole - math.exp(-t - h) * math.expm1(h) * (eps(guess, t + h / 2) - first)
    guess = x - math.exp(-t - h / 3) * math.expm1(h / 3) * first
    second = eps(guess, t + h / 3)
    far = 2 * h / 3
    guess = x - math.exp(-t - far) * math.expm1(far) * first
    guess = guess - math.exp(-t - far) * 2 * (math.expm1(far) / far - 1) * (second - first)
    third = eps(guess, t + far)
    return whole - math.exp(-t - h) * 1.5 * (math.expm1(h) / h - 1) * (third - first)


def case(solver, grid, parametrisation, source, run, **options):
    """A case against one of the loops above."""

    def reference(network, draws):
        model = Model(network, grid, parametrisation)
        start = model.gain * draws[0] / model.ends[0]
        return model.ends[1] * run(model, start, list(draws[1:]), **options)

    settings = ", ".join(f"{key}={value}" for key, value in options.items())
    return Case(solver, grid, parametrisation, source, reference, settings)


def crowson(solver, grid, parametrisation, run, **options):
    return case(solver, grid, parametrisation, f"k-diffusion {run.__name__}", run, **options)


CASES = [
    crowson(DPMpp2M(lower_order_below=0), VP.grid(Linear(), 10), EPS, dpmpp_2m),
    crowson(DPMpp2MSDE(), VP.grid(Linear(), 10), V, dpmpp_2m_sde),
    crowson(
        DPMpp2MSDE(0.6, 1.01),
        KEPT.grid(ScaledLinear(), 9),
        EPS,
        dpmpp_2m_sde,
        eta=0.6,
        s_noise=1.01,
    ),
    crowson(DPMpp2MSDE(form=Form.HEUN), VP.grid(Cosine(), 10), X0, dpmpp_2m_sde, kind="heun"),
    crowson(DPMpp3MSDE(), VP.grid(Linear(), 10), EPS, dpmpp_3m_sde),
    crowson(DPMpp3MSDE(0.0), VP.grid(ScaledLinear(), 10), V, dpmpp_3m_sde, eta=0.0),
    crowson(DPMpp3MSDE(0.4, 0.9), KEPT.grid(Flow(), 8), FLOW, dpmpp_3m_sde, eta=0.4, s_noise=0.9),
    crowson(DPMpp2SAncestral(), VP.grid(Linear(), 8), EPS, dpmpp_2s_ancestral),
    crowson(
        DPMpp2SAncestral(0.5, 1.02),
        KEPT.grid(Flow(), 6),
        FLOW,
        dpmpp_2s_ancestral,
        eta=0.5,
        s_noise=1.02,
    ),
    crowson(DPMppSDE(), VP.grid(Linear(), 8), V, dpmpp_sde),
    crowson(
        DPMppSDE(0.7, 1.1, 0.35),
        KEPT.grid(ScaledLinear(), 6),
        X0,
        dpmpp_sde,
        eta=0.7,
        s_noise=1.1,
        r=0.35,
    ),
    crowson(DPMFast(), KEPT.grid(Linear(), 10), EPS, dpm_fast, nfe=10),
    crowson(DPMFast(), VP.grid(Linear(), 10), V, dpm_fast, nfe=9),
    crowson(DPMFast(1.0), KEPT.grid(ScaledLinear(), 12), EPS, dpm_fast, eta=1.0, nfe=12),
    crowson(DPMFast(0.5, 1.05), VP.grid(Flow(), 9), FLOW, dpm_fast, eta=0.5, s_noise=1.05, nfe=8),
]

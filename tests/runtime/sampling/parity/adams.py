"""Multistep methods of E beside diffusers, k-diffusion and diff-sampler."""

import numpy as np
from numpy.polynomial import Polynomial

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules import (
    EDM,
    Exponential,
    Final,
    Karras,
    Leading,
    Linear,
    ScaledLinear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import IPNDM, LMS, PLMS, PNDM, Nodes
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, SCHEDULES, SHAPE, V
from tests.runtime.sampling.parity.runge_kutta import Denoiser, levels, start

VE = Karras().grid(EDM(sigma_min=0.02, sigma_max=20.0), 10)
ABOVE = Exponential(final=Final.SPACED).grid(ScaledLinear(), 11)
TRAILING = {"timestep_spacing": "trailing"}


def on_slopes(grid, order, increment):
    """x += increment(sigmas, i, slopes), the slopes newest first and at most `order`."""

    def reference(network, draws):
        denoise, sigmas = Denoiser(network, grid), levels(grid)
        x, slopes = start(grid, draws), []
        for i, sigma in enumerate(sigmas[:-1]):
            slopes = [denoise.slope(x, sigma), *slopes][:order]
            x = x + increment(sigmas, i, slopes)
        return x * grid.alpha[-1]

    return reference


def lagrange(sigmas, i, slopes):
    """k-diffusion's sample_lms, each polynomial integrated by its antiderivative."""
    total = 0.0
    unit = sigmas[i]  # sigma = unit u keeps the coefficients of the polynomials of one size
    nodes = [sigmas[i - k] / unit for k in range(len(slopes))]
    for j, slope in enumerate(slopes):
        roots = [node for k, node in enumerate(nodes) if k != j]
        product = Polynomial.fromroots(roots) if roots else Polynomial([1.0])
        whole = (product / product(nodes[j])).integ()
        total = total + unit * (whole(sigmas[i + 1] / unit) - whole(1.0)) * slope
    return total


def ipndm(sigmas, i, slopes):
    """diff-sampler's ipndm_sampler."""
    numbers = ([1.0], [1.5, -0.5], np.array([23, -16, 5]) / 12, np.array([55, -59, 37, -9]) / 24)
    mean = sum(w * d for w, d in zip(numbers[len(slopes) - 1], slopes, strict=True))
    return (sigmas[i + 1] - sigmas[i]) * mean


def divided(sigmas, i, slopes):
    """Newton's form of the variable-step method, which diff-sampler's ipndm_v_sampler begins.

    Order 2 is as published. At order 3 the published code has (1 - a b) / 2 for (1 - a) b / 2; at
    order 4 also a plus for the minus below, and h1 / h2 for h2 / h3 in the last coefficient.
    """
    h, *before = (sigmas[i + 1 - k] - sigmas[i - k] for k in range(len(slopes)))
    h1, h2, h3 = (*before, np.inf, np.inf, np.inf)[:3]
    c = np.array([1.0, 0.0, 0.0, 0.0])
    if len(before) > 0:
        c += h / h1 / 2 * np.array([1.0, -1.0, 0.0, 0.0])
    a = h / (3 * (h + h1))
    if len(before) > 1:
        second = (1 - a) / 2 * h * (h + h1) / (h1 * (h1 + h2))
        c += second * np.array([1.0, -(1 + h1 / h2), h1 / h2, 0.0])
    if len(before) > 2:
        third = (1 - a) / 2 - (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
        third *= h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
        r = h1 * (h1 + h2) / (h2 * (h2 + h3))
        c += third * np.array([1.0, -(1 + h1 / h2 + r), h1 / h2 + r * (1 + h2 / h3), -r * h2 / h3])
    return h * sum(w * d for w, d in zip(c, slopes, strict=False))


def upstream_ipndm(steps):
    """diffusers' IPNDM with sigmas given: at its own first one, alpha = 0, it loses D."""
    angle = np.linspace(1.45, 0.0, steps + 1)
    grid = Grid(np.cos(angle), np.sin(angle), 2.0 * angle / np.pi, 1.0)

    def reference(network, draws):
        scheduler = float64.module("ipndm").IPNDMScheduler(trained_betas=np.sin(angle).tolist())
        scheduler.set_timesteps(steps)
        return float64.sample(scheduler, network, draws[0].reshape(SHAPE))

    return Case(IPNDM(), grid, V, "diffusers IPNDMScheduler", reference)


def pndm(solver, schedule, spacing, ends, **config):
    """A case of diffusers' PNDM at a step count that divides its times evenly and by two."""
    config = {"set_alpha_to_one": ends is Final.ZERO, **config, **SCHEDULES[schedule]}
    return diffusers(solver, "pndm", spacing.grid(schedule, 10), **config)


def lms(grid, order):
    source = "k-diffusion sample_lms"
    return Case(LMS(order), grid, EPS, source, on_slopes(grid, order, lagrange), f"order={order}")


CASES = [
    *(
        diffusers(
            LMS(order),
            "lms_discrete",
            Trailing().grid(Linear(), 10),
            parametrisation,
            is_ve=True,
            step=lambda draws, order=order: {"order": order},
            **SCHEDULES[Linear()],
            **TRAILING,
        )
        for order, parametrisation in ((4, EPS), (3, V))
    ),
    *(lms(grid, order) for grid in (VE, ABOVE) for order in (1, 2, 4)),
    upstream_ipndm(10),
    *(
        Case(IPNDM(order), grid, EPS, "diff-sampler ipndm_sampler", on_slopes(grid, order, ipndm))
        for grid, order in ((ABOVE, 4), (ABOVE, 3), (VE, 4), (VE, 2))
    ),
    *(
        Case(
            IPNDM(order, Nodes.ACTUAL),
            ABOVE,
            EPS,
            source,
            on_slopes(ABOVE, order, divided),
        )
        for order, source in (
            (2, "diff-sampler ipndm_v_sampler"),
            (3, "variable-step Adams-Bashforth, divided differences"),
            (4, "variable-step Adams-Bashforth, divided differences"),
        )
    ),
    pndm(PLMS(), Linear(), Trailing(), Final.ZERO, skip_prk_steps=True, **TRAILING),
    pndm(
        PLMS(),
        ScaledLinear(),
        Leading(offset=1, final=Final.LAST),
        Final.LAST,
        skip_prk_steps=True,
        steps_offset=1,
    ),
    pndm(PNDM(), Linear(), Trailing(), Final.ZERO, **TRAILING),
    pndm(PNDM(), ScaledLinear(), Leading(offset=1, final=Final.LAST), Final.LAST, steps_offset=1),
]

"""DEIS beside diffusers; orders that diffusers lacks, and RES, beside loops over integrals."""

from itertools import pairwise

import numpy as np

from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.schedules import Final, Flow, Karras, Linear, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import Bounded
from denoisert.runtime.sampling.solvers.deis import DEIS
from denoisert.runtime.sampling.solvers.res import RES, RESMultistep
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, FLOW, SCHEDULES, X0, V

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def estimates(x, output, now, parametrisation):
    """D and E of a raw output."""
    if parametrisation is EPS:
        return (x - now.sigma * output) / now.alpha, output
    if parametrisation is X0:
        return output, (x - now.alpha * output) / now.sigma
    if parametrisation is FLOW:
        return x - now.sigma * output, x + now.alpha * output
    return now.alpha * x - now.sigma * output, now.sigma * x + now.alpha * output


def lagrange(nodes, index, at):
    """The polynomial that is 1 at nodes[index] and 0 at the others."""
    found = np.ones_like(at)
    for other, node in enumerate(nodes):
        if other != index:
            found = found * (at - node) / (nodes[index] - node)
    return found


def integral(function, start, end):
    """By Gauss-Legendre on 16 pieces."""
    edges = np.linspace(start, end, 17)
    total = 0.0
    for a, b in pairwise(edges):
        total += (b - a) / 2 * np.dot(WEIGHTS, function((a + b) / 2 + (b - a) / 2 * NODES))
    return total


def adams_bashforth(grid, parametrisation, order, is_noise):
    """x over alpha or sigma, plus the integral of exp(+-lambda) times a polynomial."""

    def reference(network, draws):
        x, levels, past = grid.noise_gain * draws[0], [], []
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            answer = network(x, now.model_time)
            levels = [now.half_logsnr, *levels][:order]
            past = [estimates(x, answer, now, parametrisation)[is_noise], *past][:order]
            if after.sigma == 0.0:
                x = x / now.alpha - now.sigma / now.alpha * past[0] if is_noise else past[0]
                continue
            sign = -1.0 if is_noise else 1.0
            weights = [
                integral(
                    lambda at, i=i: np.exp(sign * at) * lagrange(levels, i, at),  # noqa: B023
                    now.half_logsnr,
                    after.half_logsnr,
                )
                for i in range(len(past))
            ]
            gain = sum(w * estimate for w, estimate in zip(weights, past, strict=True))
            if is_noise:
                x = after.alpha * (x / now.alpha - gain)
            else:
                x = after.sigma * (x / now.sigma + gain)
        return x

    return reference


def adams_case(solver, grid, parametrisation, is_noise):
    return Case(
        solver,
        grid,
        parametrisation,
        f"exponential Adams-Bashforth of order {solver.order} by quadrature",
        adams_bashforth(grid, parametrisation, solver.order, is_noise),
    )


def res_multistep(grid, eta):
    """ComfyUI's loop in x / alpha, from its phi functions; ancestral noise by its formula."""

    def reference(network, draws):
        noises = iter(draws[1:])
        x, old, old_down = grid.noise_gain * draws[0] / grid[0].alpha, None, None
        for step in range(grid.steps):
            now, after = grid[step].sigma_ve, grid[step + 1].sigma_ve
            model_input = grid[step].alpha * x
            denoised = network(model_input, grid[step].model_time)
            up = min(after, eta * np.sqrt(after**2 * (now**2 - after**2) / now**2))
            down = np.sqrt(after**2 - up**2)
            if down == 0.0 or old is None:
                x = x + (x - denoised) / now * (down - now)
            else:
                h = np.log(now) - np.log(down)
                c2 = (np.log(old_down) - np.log(grid[step - 1].sigma_ve)) / h
                phi1 = np.expm1(-h) / -h
                phi2 = (phi1 - 1.0) / -h
                x = np.exp(-h) * x + h * ((phi1 - phi2 / c2) * denoised + phi2 / c2 * old)
            if up:
                x = x + up * next(noises)
            old, old_down = denoised, down
        return grid[grid.steps].alpha * x

    return reference


def res_case(grid, eta):
    return Case(
        RESMultistep(eta), grid, X0, "ComfyUI res_multistep", res_multistep(grid, eta), f"eta={eta}"
    )


TRAILING = {"timestep_spacing": "trailing"}
CASES = [
    *(
        diffusers(
            DEIS(order),
            "deis_multistep",
            Trailing(Final.LAST).grid(schedule, steps),
            parametrisation,
            solver_order=order,
            **SCHEDULES[schedule],
            **TRAILING,
        )
        for order, schedule, steps, parametrisation in (
            (1, Linear(), 10, EPS),
            (2, Linear(), 10, V),
            (3, Linear(), 10, EPS),
            (3, Linear(), 20, X0),
            (3, ScaledLinear(), 12, V),
            (2, Linear(), 2, EPS),
        )
    ),
    diffusers(
        DEIS(3, lower_order_below=0),
        "deis_multistep",
        Trailing(Final.LAST).grid(Linear(), 12),
        V,
        solver_order=3,
        lower_order_final=False,
        **SCHEDULES[Linear()],
        **TRAILING,
    ),
    diffusers(
        Bounded(DEIS(3), DynamicThreshold(0.9, 1.5, rederive=True)),
        "deis_multistep",
        Trailing(Final.LAST).grid(Linear(), 10),
        V,
        solver_order=3,
        thresholding=True,
        dynamic_thresholding_ratio=0.9,
        sample_max_value=1.5,
        **SCHEDULES[Linear()],
        **TRAILING,
    ),
    adams_case(DEIS(4, 0), Trailing(Final.LAST).grid(Linear(), 9), V, True),
    adams_case(DEIS(4, 0), Karras(7.0, 0.02, 30.0).grid(Flow(), 9), FLOW, True),
    adams_case(RES(1), Trailing().grid(Linear(), 8), EPS, False),
    adams_case(RES(2), Trailing().grid(Linear(), 8), V, False),
    adams_case(RES(3), Karras(7.0, 0.02, 30.0).grid(Linear(), 8), EPS, False),
    adams_case(RES(4), Karras(7.0, 0.02, 30.0).grid(Flow(), 9), FLOW, False),
    *(res_case(Karras(7.0, 0.03, 20.0).grid(Linear(), 9), eta) for eta in (0.0, 0.6, 1.0)),
]

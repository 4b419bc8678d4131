"""Single-step DPM solvers beside the papers' algorithms, on (alpha, sigma, lambda)."""

import math

from denoisert.runtime.sampling.schedules import Cosine, Flow, Linear, ScaledLinear
from denoisert.runtime.sampling.solvers import DPMpp2S, DPMpp3S, DPMSolver2, DPMSolver3
from tests.oracles.pair import EPS, FLOW, X0, V
from tests.runtime.sampling.parity.dpm_k_diffusion import KEPT, VP, case


def in_network(step, order_one):
    """A paper's single step on (alpha, sigma, lambda), with order 1 into sigma = 0."""

    def run(model, x_ve, noise):
        x = model.ends[0] * x_ve
        for now, after in zip(model.levels[:-1], model.levels[1:], strict=True):
            x = order_one(model, x, now) if after == 0.0 else step(model, x, now, after)
        return x / model.ends[1]

    return run


def paper_eps(r_1, r_2=None):
    """DPM-Solver-2 (algorithm 1) or -3 (algorithm 2) of arXiv 2206.00927."""

    def step(model, x, now, after):
        (a_t, _), h = model.point(now), math.log(now / after)
        first = model.noise(x, now)

        def reach(r):
            level = now * math.exp(-r * h)
            alpha, sigma = model.point(level)
            return level, sigma, alpha / a_t * x - sigma * math.expm1(r * h) * first

        level, _, guess = reach(r_1)
        second = model.noise(guess, level) - first
        _, sigma, whole = reach(1.0)
        if r_2 is None:
            return whole - sigma / (2 * r_1) * math.expm1(h) * second
        level, middle, guess = reach(r_2)
        far = r_2 * h
        guess = guess - middle * r_2 / r_1 * (math.expm1(far) / far - 1) * second
        third = model.noise(guess, level) - first
        return whole - sigma / r_2 * (math.expm1(h) / h - 1) * third

    return in_network(step, lambda model, x, now: model.clean(x, now))


def paper_clean(r_1, r_2=None):
    """DPM-Solver++(2S), algorithm 1 of arXiv 2211.01095, and its three-point form."""

    def step(model, x, now, after):
        (_, s_t), h = model.point(now), math.log(now / after)
        first = model.clean(x, now)

        def reach(r):
            level = now * math.exp(-r * h)
            alpha, sigma = model.point(level)
            return level, alpha, sigma / s_t * x - alpha * math.expm1(-r * h) * first

        level, _, guess = reach(r_1)
        second = model.clean(guess, level)
        _, alpha, whole = reach(1.0)
        if r_2 is None:
            mixed = (1 - 1 / (2 * r_1)) * first + 1 / (2 * r_1) * second
            return whole - alpha * math.expm1(-h) * (mixed - first)
        level, middle, guess = reach(r_2)
        far = r_2 * h
        guess = guess + middle * r_2 / r_1 * (math.expm1(-far) / far + 1) * (second - first)
        third = model.clean(guess, level) - first
        return whole + alpha / r_2 * (math.expm1(-h) / h + 1) * third

    return in_network(step, lambda model, x, now: model.clean(x, now))


CLEAN, NOISE = "Lu et al. 2211.01095", "Lu et al. 2206.00927"
CASES = [
    case(DPMSolver2(), VP.grid(Linear(), 6), EPS, NOISE, paper_eps(0.5)),
    case(DPMSolver2(0.3), KEPT.grid(Flow(), 5), FLOW, NOISE, paper_eps(0.3)),
    case(DPMSolver3(), VP.grid(ScaledLinear(), 5), V, NOISE, paper_eps(1 / 3, 2 / 3)),
    case(DPMSolver3(0.25, 0.7), KEPT.grid(Linear(), 4), X0, NOISE, paper_eps(0.25, 0.7)),
    case(DPMpp2S(), VP.grid(Linear(), 6), V, CLEAN, paper_clean(0.5)),
    case(DPMpp2S(0.7), KEPT.grid(Flow(), 5), FLOW, CLEAN, paper_clean(0.7)),
    case(DPMpp3S(), VP.grid(Linear(), 5), EPS, CLEAN, paper_clean(1 / 3, 2 / 3)),
    case(DPMpp3S(0.2, 0.6), KEPT.grid(Cosine(), 4), X0, CLEAN, paper_clean(0.2, 0.6)),
]

"""Stochastic interpolants: the marginals do not depend on the diffusion."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, execute, propagate
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import (
    FlowEuler,
    InterpolantSDE,
    TwoSidedInterpolant,
)
from denoisert.runtime.sampling.solvers.interpolant import Diffusion

FLOW = Parametrisation.FLOW
STEPS = (48, 96, 192)


def grid(steps):
    return Trailing().grid(Flow(), steps)


@pytest.mark.parametrize("diffusion", list(Diffusion))
@pytest.mark.parametrize("eps", [0.5, 2.0])
def test_any_diffusion_has_the_marginals_of_the_flow_to_first_order(eps, diffusion):
    data, errors = Gaussian(0.7, 0.25), []
    for steps in STEPS:
        table = fold(InterpolantSDE(eps, diffusion).rows(grid(steps)), FLOW, Unguided())
        found = propagate(table, [data], FLOW)
        errors.append(abs(found.mean[0] - 0.7) + abs(found.covariance[0, 0] - 0.25))
    assert errors[-1] < 0.03
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (slopes > 0.7).all()  # of some, errors of mean and variance cancel and it is more


def test_without_diffusion_it_is_the_flow_and_draws_nothing():
    found, euler = InterpolantSDE(0.0).rows(grid(6)), FlowEuler().rows(grid(6))
    np.testing.assert_allclose(found.registers, euler.registers, atol=1e-15)
    assert found.draws.sum() == euler.draws.sum() == 1
    table = fold(InterpolantSDE().rows(grid(6)), FLOW, Unguided())
    assert table.draws.tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert (table.form.registers, table.nfe) == (1, 6)


def test_the_step_is_the_papers_with_the_score_of_the_velocity():
    """The score is -(x + (1 - t) b) / t on this path, from b alone."""
    rows = InterpolantSDE(0.8, Diffusion.CONSTANT).rows(grid(4))
    rng = np.random.default_rng(2)
    denoised, eps, xi = rng.standard_normal(3)
    t, s = 0.75, 0.5
    x = (1 - t) * denoised + t * eps
    b = eps - denoised
    score = -(x + (1 - t) * b) / t
    expected = x - (t - s) * (b - 0.8 * score) + np.sqrt(2 * 0.8 * (t - s)) * xi
    values = np.zeros(rows.basis.width)
    for unit, value in (
        (rows.basis.registers[0], x),
        (rows.basis.denoised, denoised),
        (rows.basis.noise, eps),
        (rows.basis.draws[0], xi),
    ):
        values += unit * value
    assert rows.registers[2, 0] @ values == pytest.approx(expected, rel=1e-13)


class Pair:
    """Gaussian ends x0 ~ N(m0, v0), x1 ~ N(m1, v1), independent: b and E[z | x] in closed form."""

    def __init__(self, spread=1.0):
        self.ends, self.spread = ((0.8, 0.2), (-0.5, 0.6)), spread

    def __call__(self, x, t, condition, scalars=()):
        (m0, v0), (m1, v1) = self.ends
        gamma2 = self.spread**2 * 2 * t * (1 - t)
        rate = self.spread**2 * (1 - 2 * t)  # gamma gamma'
        variance = (1 - t) ** 2 * v0 + t**2 * v1 + gamma2
        offset = (x - (1 - t) * m0 - t * m1) / variance
        b = m1 - m0 + (t * v1 - (1 - t) * v0 + rate) * offset
        return b, np.sqrt(gamma2) * offset


@pytest.mark.parametrize(("eps", "spread"), [(0.0, 1.0), (0.5, 1.0), (2.0, 0.5)])
def test_from_one_gaussian_to_another_at_any_diffusion(eps, spread):
    """x1 -> x0 is affine in the source and the noise: its moments follow from unit inputs."""
    errors = []
    for steps in STEPS:
        table = fold(TwoSidedInterpolant(eps, spread).rows(grid(steps)), FLOW, Unguided())
        draws = max(1, int(table.draws.sum()))
        layout = StateLayout((Part("x", (draws + 2,)),))
        # Element 0: everything 0. Element 1: the source alone. Others: one draw each.
        source = np.zeros(draws + 2)
        source[1] = 1.0
        noise = [np.eye(draws + 2)[draw + 2] for draw in range(draws)]
        found = execute(table, layout, Pair(spread), noise, {"source": source}).latent
        base, (m1, v1) = found[0], Pair().ends[1]
        gains = found[1:] - base
        mean = base + gains[0] * m1
        variance = gains[0] ** 2 * v1 + (gains[1:] ** 2).sum()
        errors.append(abs(mean - 0.8) + abs(variance - 0.2))
    assert errors[-1] < 0.02
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 1.0, atol=0.35)


def test_only_a_diffusion_asks_for_the_second_port():
    without = fold(TwoSidedInterpolant().rows(grid(3)), FLOW, Unguided())
    noisy = fold(TwoSidedInterpolant(1.0).rows(grid(3)), FLOW, Unguided())
    assert (without.form.branches, noisy.form.branches) == (1, 2)
    assert without.nfe == noisy.nfe == 3
    assert without.externals == ("source",)
    # Both ends have gamma = 0: nothing is divided by it.
    assert noisy.condition[:, 1].tolist() == [-1, -1, 0, 0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InterpolantSDE(-0.1), "eps -0.1 must be finite"),
        (lambda: TwoSidedInterpolant(spread=0.0), "spread 0.0 must be above 0"),
        (lambda: InterpolantSDE().rows(Trailing().grid(Linear(), 4)), "needs a linear path"),
        (lambda: TwoSidedInterpolant().rows(Trailing().grid(Linear(), 4)), "needs a linear path"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(InvalidInput, match=message):
        build()

"""Flow matching and what was built on it: Runge-Kutta steps, shortcuts, stochastic interpolants."""

import numpy as np
import pytest

from denoisert.runtime import (
    DDIM,
    FlowEuler,
    FlowHeun,
    FlowMap,
    FlowRungeKutta,
    InterpolantSDE,
    Scheme,
    StepTold,
    TwoSidedInterpolant,
)
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    Mixture,
    between_times,
    pushed,
    sliced_wasserstein,
    strong_errors,
    table_map,
)
from denoisert.runtime.sampling.schedules import Flow, Trailing
from denoisert.runtime.sampling.solvers import Diffusion
from tests.catalogue.runs import EPS, FLOW, SCORE, X0, V, answered, samples, table_of
from tests.runtime.sampling import test_flow_map as shortcuts

LINE = Mixture(np.array([0.4, 0.6]), np.array([[-1.0], [0.8]]), np.array([0.1, 0.3]))
NOISE = np.random.default_rng(0).standard_normal(64)


@pytest.mark.paper(24)
@pytest.mark.parametrize("steps", [1, 2, 8, 128])
def test_an_exact_shortcut_ends_at_the_data_in_any_power_of_two(steps):
    shortcuts.test_shortcuts_end_exactly_at_any_power_of_two(steps)


@pytest.mark.paper(24)
def test_a_network_told_another_size_ends_elsewhere():
    shortcuts.test_a_network_told_another_step_ends_elsewhere()


@pytest.mark.paper(24)
@pytest.mark.parametrize("told", [StepTold.END, StepTold.LENGTH], ids=str)
def test_a_flow_map_is_told_the_end_or_the_length_and_not_the_other(told):
    grid, noise = Trailing().grid(Flow(), 4), [np.ones(1)]

    def ends(is_length):
        def answer(x, t, condition, said):
            end = t - said[0] if is_length else said[0]
            return shortcuts.mean_velocity(x, t, end - 1e-12)

        return answered(FlowMap(told), grid, answer, noise, FLOW)[0]

    is_length = told is StepTold.LENGTH
    assert ends(is_length) == pytest.approx(0.5, rel=1e-9)
    assert abs(ends(not is_length) - 0.5) > 0.01


@pytest.mark.paper(90)
@pytest.mark.parametrize(
    ("solver", "data", "order"),
    [
        (FlowEuler(), Gaussian(0.7, 0.25), 1),
        (FlowHeun(), Gaussian(0.7, 0.25), 2),
        (FlowRungeKutta(Scheme.MIDPOINT), LINE, 2),  # 3 on a Gaussian, by its symmetry
        (FlowRungeKutta(Scheme.RK4), Gaussian(0.7, 0.25), 4),
    ],
    ids=["euler", "heun", "midpoint", "rk4"],
)
def test_runge_kutta_methods_have_their_order(solver, data, order):
    grids = between_times(Flow(), 1.0, 0.02)
    found = strong_errors(solver, grids, data, NOISE, (64, 128, 256))
    np.testing.assert_allclose(found.slopes, order, atol=0.25)
    assert found.errors[0] < 0.02


@pytest.mark.paper(90)
def test_likelihood_of_a_mixture_within_a_thousandth_of_a_nat():
    """log p(x) = log N(xi) - log |dx/dxi| through the sampler's own map."""
    table = table_of(FlowRungeKutta(Scheme.RK4), between_times(Flow(), 1.0, 0.02)(150), X0)
    noise = np.linspace(-2.5, 2.5, 41)
    found = pushed(table_map(table, [LINE], X0), noise, 1)
    truth = LINE.log_density(found.latent, 0.98, 0.02)
    assert np.abs(found.log_density - truth).max() < 1e-3
    coarse = table_of(FlowEuler(), between_times(Flow(), 1.0, 0.02)(150), X0)
    found = pushed(table_map(coarse, [LINE], X0), noise, 1)
    truth = LINE.log_density(found.latent, 0.98, 0.02)
    assert np.abs(found.log_density - truth).max() > 1e-3


@pytest.mark.paper(90)
def test_a_velocity_network_may_be_run_as_any_other():
    """x1 = x + (1 - t) v of the paper's time: velocity, noise, estimate, v and score agree."""
    grid = between_times(Flow(), 0.98, 0.02)(12)
    for solver in (FlowHeun(), DDIM()):
        found = [samples(solver, grid, LINE, [NOISE], kind) for kind in (FLOW, EPS, X0, V, SCORE)]
        for each in found[1:]:
            np.testing.assert_allclose(each, found[0], rtol=0, atol=1e-11)


@pytest.mark.paper(47)
def test_the_score_is_the_velocity_in_other_words():
    """One-sided: s = -(x + (1 - t) b) / t, against the score of the density."""
    x = np.linspace(-2, 2, 9)
    for t in (0.2, 0.5, 0.9):
        denoised, noise = LINE.estimates(x, 1 - t, t)
        b = noise - denoised
        np.testing.assert_allclose(-(x + (1 - t) * b) / t, LINE.score(x, 1 - t, t), atol=1e-10)


@pytest.mark.paper(47)
@pytest.mark.parametrize(("eps", "kind"), [(0.0, Diffusion.SIGMA), (0.5, Diffusion.SIGMA),
                                           (2.0, Diffusion.BRIDGE)])  # fmt: skip
def test_any_diffusion_ends_in_the_same_mixture(eps, kind):
    rng, count = np.random.default_rng(1), 6000
    grid = Trailing().grid(Flow(), 200)
    noise = list(rng.standard_normal((1 if eps == 0 else 200, count)))
    found = samples(InterpolantSDE(eps, kind), grid, LINE, noise, FLOW)
    truth = LINE.sample(np.random.default_rng(2), count)
    assert sliced_wasserstein(found[:, None], truth[:, None]) < 0.05
    assert sliced_wasserstein(found[:, None], 1.1 * truth[:, None]) > 0.05


class Ends:
    """Mixtures x0 and x1, independent, and gamma^2 = 2 t (1 - t): b and E[z | x] exactly.

    Given which components x0 and x1 are of, all is Gaussian: every field is a mean over pairs.
    """

    clean = Mixture(np.array([0.3, 0.7]), np.array([[-1.0], [1.0]]), np.array([0.05, 0.1]))
    source = Mixture(np.array([0.5, 0.5]), np.array([[-2.0], [0.5]]), np.array([0.1, 0.2]))

    def __call__(self, x, t, condition, scalars=()):
        gamma2, total, fields = 2 * t * (1 - t), 0.0, np.zeros((2, x.size))
        for w0, (m0,), v0 in zip(*self._of(self.clean), strict=True):
            for w1, (m1,), v1 in zip(*self._of(self.source), strict=True):
                variance = (1 - t) ** 2 * v0 + t**2 * v1 + gamma2
                offset = (x - (1 - t) * m0 - t * m1) / variance
                share = w0 * w1 * np.exp(-0.5 * offset**2 * variance) / np.sqrt(variance)
                b = m1 - m0 + (t * v1 - (1 - t) * v0 + 1 - 2 * t) * offset
                total = total + share
                fields += share * np.stack([b, np.sqrt(gamma2) * offset])
        return tuple(fields / total)

    @staticmethod
    def _of(mixture):
        return mixture.weights, mixture.means, mixture.variances


@pytest.mark.paper(47)
@pytest.mark.parametrize("eps", [0.0, 0.5, 2.0])
def test_one_mixture_becomes_another_at_any_diffusion(eps):
    rng, count, ends = np.random.default_rng(3), 6000, Ends()
    source = ends.source.sample(rng, count)
    noise = list(rng.standard_normal((1 if eps == 0 else 200, count)))
    grid = Trailing().grid(Flow(), 200)
    found = answered(TwoSidedInterpolant(eps), grid, ends, noise, FLOW, source=source)
    truth = ends.clean.sample(np.random.default_rng(4), count)
    assert sliced_wasserstein(found[:, None], truth[:, None]) < 0.06
    assert sliced_wasserstein(found[:, None], source[:, None]) > 0.5
    if eps > 1:
        no_score = lambda *asked: (ends(*asked)[0], np.zeros(count))  # noqa: E731
        lost = answered(TwoSidedInterpolant(eps), grid, no_score, noise, FLOW, source=source)
        assert sliced_wasserstein(lost[:, None], truth[:, None]) > 0.08

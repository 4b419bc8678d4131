"""Students of few steps, pinned times, and networks that start from pure noise."""

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DDIM,
    LCM,
    ConsistencyMultistep,
    Final,
    FlowHeun,
    Inverse,
    Linspace,
    NoiseCorrected,
    Request,
    Timesteps,
    Trailing,
    TwoForwardOneBack,
    Unguided,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.oracle import Gaussian, Mixture
from denoisert.runtime.sampling.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR
from tests.catalogue.runs import EPS, X0, V, answered, moments, samples, table_of
from tests.oracles import float64
from tests.runtime.networks import perceptron
from tests.runtime.sampling import test_consistency as jumps
from tests.runtime.sampling import test_distilled as students

FOUR = (999.0, 749.0, 499.0, 249.0)
DATA = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]]),
    np.array([0.15, 0.25, 0.2]),
)
RNG = np.random.default_rng(0)


@pytest.mark.paper(5)
def test_four_steps_are_diffusers_lcm():
    """Trailing times, scaled-linear betas, the same noise; no guidance."""
    scheduler = float64.module("lcm").LCMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    scheduler.set_timesteps(4, original_inference_steps=50)
    times = tuple(float(time) for time in scheduler.timesteps)
    grid = Timesteps(times).grid(ScaledLinear(), 4)
    draws = list(RNG.standard_normal((4, 4)))
    network = lambda x, time: 1.1 * np.tanh(x) + 0.2 * np.cos(time / 100)  # noqa: E731
    noises = float64.Noises([draw.reshape(1, 1, 2, 2) for draw in draws[1:]])
    expected = float64.sample(scheduler, network, draws[0].reshape(1, 1, 2, 2), generator=noises)
    found = answered(LCM(), grid, lambda x, time, _: network(x, time), draws, EPS)
    np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=1e-11)
    ddim = answered(DDIM(), grid, lambda x, time, _: network(x, time), draws, EPS)
    assert np.abs(ddim - found).max() > 0.05


@pytest.mark.paper(5)
def test_every_step_leaves_the_marginal_of_its_jump():
    """Mean and variance after each step: alpha_s E y and alpha_s^2 Var y + sigma_s^2."""
    jumps.test_every_step_leaves_the_moments_of_the_jump_noised_again(LCM(1e9))


@pytest.mark.paper(73)
def test_pure_noise_is_an_ordinary_start_for_v_and_says_minus_v():
    """alpha = 0: x0 = alpha x - sigma v = -v, so the first estimate is the network's own answer."""
    grid = Trailing().grid(ZeroTerminalSNR(), 5)
    assert (grid[0].alpha, grid[0].sigma) == (0.0, 1.0)
    table = table_of(DDIM(), grid, V)
    assert np.isfinite(table.matrix).all()
    form, after = table.form, grid[1]
    row = table.matrix[1, form.register_row(0)]
    assert row[form.branch(0)] == pytest.approx(-after.alpha, rel=1e-12)
    assert row[0] == pytest.approx(after.sigma, rel=1e-12)  # E = x where there is nothing else
    before = Trailing().grid(ScaledLinear(), 5)
    assert before[0].alpha > 0.05


@pytest.mark.paper(73)
def test_a_network_that_would_divide_by_alpha_is_refused_when_compiled():
    with pytest.raises(InvalidTable, match=r"alpha = 0|determine"):
        table_of(DDIM(), Trailing().grid(ZeroTerminalSNR(), 5), EPS)


@pytest.mark.paper(73)
def test_without_guidance_half_the_network_calls_are_made():
    grid = Trailing().grid(ZeroTerminalSNR(), 5)
    assert table_of(DDIM(), grid, V, Unguided()).nfe == 5
    assert table_of(DDIM(), grid, V, CFG(1.0)).nfe == 5
    assert table_of(DDIM(), grid, V, CFG(7.5)).nfe == 10


@pytest.mark.paper(73)
def test_from_pure_noise_the_mean_is_reached_and_from_leftover_signal_it_is_not():
    data = Gaussian(1.5, 0.01)
    found = moments(DDIM(), Trailing().grid(ZeroTerminalSNR(), 100), data)
    assert found[0] == pytest.approx(1.5, abs=1e-12)
    short = moments(DDIM(), Trailing().grid(ScaledLinear(), 100), data)
    assert short[0] < 1.495


@pytest.mark.paper(98)
def test_two_ahead_and_one_back_keeps_the_marginals():
    """sigma_k^2 after every step, DDIM at the end, one call an interval."""
    for schedule in (Linear(), Cosine(), Flow()):
        students.test_one_back_keeps_the_marginal_of_the_point_it_goes_back_to(schedule)


@pytest.mark.paper(98)
def test_it_is_the_loop_of_two_ddim_intervals_and_noise():
    grid, draws = Trailing(Final.LAST).grid(Linear(), 6), list(RNG.standard_normal((6, 8)))
    network = lambda x, time, _: np.tanh(x) + time / 2000  # noqa: E731
    x = draws[0]
    for k in range(6):
        now, after, two = grid[k], grid[k + 1], grid[min(k + 2, 6)]
        eps = network(x, now.model_time, 0)
        x = two.alpha * (x - now.sigma * eps) / now.alpha + two.sigma * eps
        if k < 5:
            ratio = after.alpha / two.alpha
            x = ratio * x + np.sqrt(after.sigma**2 - ratio**2 * two.sigma**2) * draws[k + 1]
    found = answered(TwoForwardOneBack(), grid, network, draws, EPS)
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-12)


@pytest.mark.paper(98)
@pytest.mark.parametrize("solver", [DDIM(), TwoForwardOneBack()], ids=str)
def test_a_student_told_w_is_its_guided_teacher_at_any_w(solver):
    """One call where the teacher makes two; no other table for another w."""
    grid, draws = Trailing(Final.LAST).grid(Linear(), 8), list(RNG.standard_normal((8, 16)))
    cond, uncond = DATA, Mixture(DATA.weights, DATA.means[::-1], DATA.variances)
    for scale in (1.0, 2.0, 5.0):

        class Student:
            """Answers what CFG would combine."""

            def estimates(self, x, alpha, sigma, scale=scale):
                (d1, e1), (d0, e0) = (o.estimates(x, alpha, sigma) for o in (cond, uncond))
                return d0 + scale * (d1 - d0), e0 + scale * (e1 - e0)

        teacher = samples(solver, grid, [cond, uncond], draws, EPS, guidance=CFG(scale))
        np.testing.assert_allclose(
            samples(solver, grid, Student(), draws, EPS), teacher, atol=1e-11
        )
    assert table_of(solver, grid, EPS).nfe == 8


@pytest.mark.paper(98)
def test_the_encoder_runs_the_student_upwards():
    errors = []
    for steps in (24, 48, 96):
        grid, noise = Trailing(Final.LAST).grid(Linear(), steps), RNG.standard_normal(32)
        clean = samples(DDIM(), grid, DATA, [noise], EPS)
        up = samples(Inverse(DDIM()), grid, DATA, [np.zeros(32)], EPS, source=clean)
        errors.append(np.sqrt(np.mean((samples(DDIM(), grid, DATA, [up], EPS) - clean) ** 2)))
    assert errors[2] < errors[0] / 2
    assert errors[2] < 0.05


@pytest.mark.paper(102)
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_perfect_student_answers_the_same_at_every_step_noised_either_way(steps):
    """All points of one trajectory are answered by its end; both ways of noising again keep it."""
    grid = Timesteps(FOUR[:steps]).grid(Linear(), steps)
    clean, draws, asked = RNG.standard_normal(6), list(RNG.standard_normal((4, 6))), []

    def perfect(x, time, condition):
        asked.append(x)
        return clean

    for solver in (DDIM(), ConsistencyMultistep()):
        asked.clear()
        np.testing.assert_allclose(answered(solver, grid, perfect, draws, X0), clean, atol=1e-14)
        assert len(asked) == steps
        for x, point in zip(asked[1:], [grid[k] for k in range(1, steps)], strict=True):
            fresh = (x - point.alpha * clean) / point.sigma
            if isinstance(solver, ConsistencyMultistep):
                k = next(i for i in range(1, steps) if grid[i] == point)
                np.testing.assert_allclose(fresh, draws[k], atol=1e-9)
            else:  # the predicted noise is that of the start
                first = (draws[0] - grid[0].alpha * clean) / grid[0].sigma
                np.testing.assert_allclose(fresh, first, atol=1e-9)


@pytest.mark.paper(107)
def test_the_corrected_first_step_does_not_hear_an_error_in_the_noise():
    """A network wrong by delta in the noise at T alone: DDIM carries sigma_s delta, this nothing.

    It answers v at pure noise, where D = -v: the error is put into E by telling D right.
    """
    grid, noise = Trailing().grid(Linear(), 3), RNG.standard_normal(8)
    clean, delta = RNG.standard_normal(8), 0.3
    now, after = grid[0], grid[1]
    found = {}
    for solver in (NoiseCorrected(), DDIM()):
        rows = solver.rows(grid)
        basis = rows.basis
        columns = np.outer(basis.registers[0], now.alpha * clean + now.sigma * noise)
        columns += np.outer(basis.denoised, clean) + np.outer(basis.noise, noise + delta)
        found[type(solver)] = rows.registers[1, 0] @ columns - after.alpha * clean
    start = now.alpha * clean + now.sigma * noise
    np.testing.assert_allclose(found[NoiseCorrected], after.sigma * start, atol=1e-12)
    np.testing.assert_allclose(found[DDIM], after.sigma * (noise + delta), atol=1e-12)
    students.test_the_first_step_does_not_see_the_networks_error_in_the_noise()


@pytest.mark.paper(107)
def test_nothing_grows_where_alpha_vanishes():
    for alpha in (1e-3, 1e-6, 1e-9, 0.0):
        level = np.inf if alpha == 0.0 else 1 / alpha
        grid = Trailing().grid(Flow(), 3)
        coordinates = Flow().coordinates(np.array([level]))
        near = type(grid)(
            np.append(coordinates[0], grid.alpha[1:]),
            np.append(coordinates[1], grid.sigma[1:]),
            grid.model_time,
            1.0,
        )
        for parametrisation in (V, X0):
            matrix = table_of(NoiseCorrected(), near, parametrisation).matrix
            assert np.abs(matrix).max() < 2
    students.test_it_is_ddim_after_the_first_step_and_at_pure_noise_altogether()


def tuned_card():
    """A card whose network was tuned on four times."""
    times = (900.0, 600.0, 300.0, 0.0)
    return perceptron().card(
        training=Training(EPS, Linear(), distilled=True, timesteps=times),
        sampler=Recommended(DDIM(), Timesteps(times, Final.ZERO), 4),
    )


@pytest.mark.paper(117)
def test_what_the_card_pins_runs_as_generalized_steps():
    """x' = sqrt(abar') x0 + sqrt(1 - abar') eps over these indices; abar of -1 is 1."""
    table = compile_table(Sampler.of(Request(3), tuned_card()), tuned_card())
    kept = np.append(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)), 1.0)
    row = table.form.register_row(0)
    assert table.model_time[1:, 0].tolist() == [900.0, 600.0, 300.0, 0.0]
    for k, (now, then) in enumerate([(900, 600), (600, 300), (300, 0), (0, -1)]):
        share = np.sqrt(kept[then] / kept[now])
        eps = np.sqrt(1 - kept[then]) - share * np.sqrt(1 - kept[now])
        gains = table.matrix[k + 1, row]
        assert gains[0] == pytest.approx(share, rel=1e-9)
        assert gains[table.form.branch(0)] == pytest.approx(eps, rel=1e-9)


@pytest.mark.paper(117)
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"schedule": Trailing(), "steps": 4}, "it was trained at"),
        ({"steps": 3}, "pins 4 steps, and 3 were asked for"),
        ({"schedule": Linspace(), "steps": 10}, "it was trained at"),
        ({"schedule": Timesteps((900.0, 500.0, 300.0, 0.0)), "steps": 4}, "model time 500"),
    ],
)
def test_other_times_than_the_card_pins_are_refused(asked, words):
    card = tuned_card()
    with pytest.raises(InvalidInput, match=words):
        compile_table(Sampler.of(Request(3, **asked), card), card)


@pytest.mark.paper(117)
def test_a_solver_that_asks_between_the_pinned_times_is_refused():
    card = perceptron().card(
        training=Training(V, Flow(), distilled=True, timesteps=(1.0, 0.5)),
        sampler=Recommended(DDIM(), Timesteps((1.0, 0.5)), 2),
    )
    assert compile_table(Sampler.of(Request(3), card), card).stages == 2
    three = Timesteps((1.0, 0.75, 0.5))
    with pytest.raises(InvalidInput, match=r"model time 0\.75"):
        compile_table(
            Sampler.of(Request(3, schedule=three, steps=3, solver=FlowHeun()), card), card
        )

"""Noise schedules beyond the plain ones: sigmoids, zero terminal SNR, a circle, shared times."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.oracle import Gaussian, execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Flow,
    Karras,
    Linear,
    Linspace,
    Measure,
    ScaledLinear,
    SharedTimes,
    Sigmoid,
    SigmoidSignal,
    Trailing,
    Trigonometric,
    ZeroTerminalSNR,
)
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M
from tests.oracles import float64
from tests.oracles.pair import LAYOUT, table_of

RNG = np.random.default_rng(5)


@contextmanager
def double_torch():
    """Some upstream linspaces name no type and take torch's default one, float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def ratio(schedule, times):
    alpha, sigma = schedule.at(np.asarray(times, dtype=float))
    return sigma / alpha


@pytest.mark.parametrize("count", [1000, 250])
def test_sigmoid_betas_are_those_of_diffusers(count):
    with double_torch():
        ddpm = float64.module("ddpm").DDPMScheduler(
            num_train_timesteps=count, beta_schedule="sigmoid", beta_start=1e-4, beta_end=0.02
        )
    schedule = Sigmoid(train_steps=count)
    np.testing.assert_allclose(schedule.betas(), ddpm.betas.numpy(), rtol=1e-13)
    np.testing.assert_allclose(schedule.kept(), ddpm.alphas_cumprod.numpy(), rtol=1e-12)
    alpha, sigma = schedule.at(np.arange(count, dtype=float))
    np.testing.assert_allclose(alpha, np.sqrt(ddpm.alphas_cumprod.numpy()), rtol=1e-11)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-14)


@pytest.mark.parametrize(("start", "end", "tau"), [(-3, 3, 1.0), (0, 3, 0.7), (-3, 3, 0.9)])
def test_sigmoid_signal_is_the_papers_curve(start, end, tau):
    def gamma(t):  # algorithm 1 of the paper, written out
        s, e = (1 / (1 + math.exp(-z / tau)) for z in (start, end))
        here = 1 / (1 + math.exp(-(t * (end - start) + start) / tau))
        return min(max((e - here) / (e - s), 1e-9), 1.0)

    schedule = SigmoidSignal(float(start), float(end), tau, 500)
    expected = [gamma((n + 1) / 500) for n in range(500)]
    np.testing.assert_allclose(schedule.kept(), expected, rtol=1e-11, atol=1e-16)
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas()), expected, rtol=1e-10)
    assert schedule.kept()[-1] == 1e-9
    assert np.all(np.diff(ratio(schedule, np.arange(500))) > 0)


BETAS = {
    Linear(): ("linear", 1e-4, 0.02),
    ScaledLinear(): ("scaled_linear", 0.00085, 0.012),
    Cosine(): ("squaredcos_cap_v2", 1e-4, 0.02),
}


@pytest.mark.parametrize("schedule", BETAS, ids=str)
def test_zero_terminal_snr_is_that_of_diffusers(schedule):
    name, start, end = BETAS[schedule]
    module = float64.module("ddim")
    before = module.DDIMScheduler(beta_schedule=name, beta_start=start, beta_end=end)
    kept = torch.cumprod(1 - module.rescale_zero_terminal_snr(before.betas), dim=0).numpy()
    ours = ZeroTerminalSNR(schedule)
    np.testing.assert_allclose(ours.kept(), kept, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(ours.kept()[:-1], kept[:-1], rtol=2e-10)
    alpha, sigma = ours.at(np.array([0.0, 999.0]))
    assert alpha[0] == pytest.approx(math.sqrt(schedule.kept()[0]), rel=1e-14)
    assert (alpha[1], sigma[1]) == (0.0, 1.0)
    assert ours.betas()[-1] == 1.0
    np.testing.assert_allclose(np.cumprod(1 - ours.betas()), ours.kept(), rtol=1e-9, atol=1e-15)


def test_zero_terminal_snr_runs_with_v_and_refuses_eps():
    schedule = ZeroTerminalSNR(ScaledLinear())
    grid = Trailing().grid(schedule, 8)
    assert (grid.alpha[0], grid.sigma[0], grid.model_time[0]) == (0.0, 1.0, 999.0)
    for solver in (DDIM(), DPMpp2M()):
        table = table_of(solver, grid, Parametrisation.V)
        assert np.isfinite(table.matrix).all()
        with pytest.raises(ValueError, match=r"alpha = 0.*[vV] network"):
            table_of(solver, grid, Parametrisation.EPS)
    with pytest.raises(InvalidInput, match="Give sigma_min and sigma_max"):
        Karras().grid(schedule, 8)
    with pytest.raises(InvalidInput, match="whole times"):
        schedule.at(np.array([998.5]))
    np.testing.assert_array_equal(schedule.model_time(np.array([np.inf])), [999.0])
    with pytest.raises(InvalidInput, match="pure noise already"):
        ZeroTerminalSNR(schedule)
    with pytest.raises(InvalidInput, match="no betas"):
        ZeroTerminalSNR(Flow())


def test_the_trigonometric_path_is_a_quarter_circle():
    schedule = Trigonometric(1000.0)
    times = np.array([0.0, 250.0, 1000.0])
    alpha, sigma = schedule.at(times)
    np.testing.assert_allclose(alpha, np.cos(np.pi / 2 * times / 1000), atol=1e-16)
    np.testing.assert_allclose(sigma, np.sin(np.pi / 2 * times / 1000))
    assert (alpha[-1], sigma[-1]) == (0.0, 1.0)
    np.testing.assert_allclose(schedule.model_time(np.tan([0.0, np.pi / 8])), [0, 250])
    np.testing.assert_array_equal(schedule.model_time(np.array([np.inf])), [1000.0])
    grid = Trailing().grid(schedule, 4)
    np.testing.assert_allclose(grid.model_time[:-1], [1000, 750, 500, 250])
    angle = Trigonometric(math.pi / 2)
    np.testing.assert_allclose(angle.at(np.array([0.4]))[1], np.sin(0.4), rtol=1e-15)
    with pytest.raises(InvalidInput, match="beyond the path"):
        schedule.at(np.array([1000.5]))
    with pytest.raises(InvalidInput, match="above 0"):
        Trigonometric(0.0)


def test_velocity_of_the_trigonometric_path_is_a_quarter_turn_of_v():
    clean, noise, t, step = 0.7, -0.4, 0.35, 1e-6
    x = [
        a * clean + s * noise
        for a, s in (Trigonometric().at(np.array([t + d]))[:2] for d in (step, -step))
    ]
    alpha, sigma = Trigonometric().at(np.array([t]))
    v = alpha * noise - sigma * clean
    np.testing.assert_allclose((x[0] - x[1]) / (2 * step), math.pi / 2 * v, rtol=1e-8)


def test_shared_times_are_the_starts_of_their_parts():
    schedule = SharedTimes(Linear(), below=100.0, parts=5)
    times = np.array([0.0, 19.0, 20.0, 39.9, 99.0, 100.0, 101.0, 999.0])
    np.testing.assert_array_equal(schedule.told(times), [0, 0, 20, 20, 80, 100, 101, 999])
    for method in ("at", "coordinates", "model_time"):
        given = np.array([0.5, 3.0])
        np.testing.assert_array_equal(
            getattr(schedule, method)(given), getattr(Linear(), method)(given)
        )
    assert (schedule.first, schedule.last, schedule.train_steps) == (999.0, 0.0, 1000)
    assert schedule.noise_gain == 1.0
    np.testing.assert_array_equal(schedule.spaced(np.array([0.5])), [499.5])


@pytest.mark.parametrize(
    "spacing", [Linspace(), Trailing(), Karras(), Karras(2.0, 5.0, measure=Measure.TIME)]
)
def test_shared_times_move_what_is_told_and_nothing_else(spacing):
    schedule = SharedTimes(ScaledLinear(), below=200.0, parts=4)
    grid, plain = spacing.grid(schedule, 30), spacing.grid(ScaledLinear(), 30)
    np.testing.assert_array_equal(grid.alpha, plain.alpha)
    np.testing.assert_array_equal(grid.sigma, plain.sigma)
    expected = [50 * (n // 50) if n < 200 else n for n in plain.model_time[:-1]]
    np.testing.assert_array_equal(grid.model_time[:-1], expected)
    assert len(set(grid.model_time[:-1])) < 30
    level = plain[29].sigma_ve * 1.1
    assert grid.at_level(level).model_time == 50 * (plain.at_level(level).model_time // 50)
    assert grid.at_level(level).sigma == plain.at_level(level).sigma


def test_a_network_deaf_below_the_threshold_samples_the_same_under_shared_times():
    """Its answers below 200 do not depend on the time it hears, so sharing must change nothing."""
    data = Gaussian(0.2, 0.3)

    def raw(latent, time, _):
        alpha, sigma = ScaledLinear().coordinates(np.array([0.4 if time < 200 else 2.0]))
        return data.estimates(latent, float(alpha[0]), float(sigma[0]))[1]

    noise = [RNG.standard_normal(LAYOUT.elements) for _ in range(13)]
    samples = [
        execute(
            table_of(DDIM(), Trailing().grid(schedule, 12), Parametrisation.EPS),
            LAYOUT,
            raw,
            noise,
        ).latent
        for schedule in (ScaledLinear(), SharedTimes(ScaledLinear(), 200.0, 3))
    ]
    np.testing.assert_array_equal(*samples)


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda: SharedTimes(Linear(), below=0.0), "above 0"),
        (lambda: SharedTimes(Linear(), below=1000.0), "at most 999"),
        (lambda: SharedTimes(Linear(), parts=0), "1 or more"),
        (lambda: SharedTimes(Linear(), parts=True), "whole number"),
        (lambda: Sigmoid(beta_start=0.0), "within"),
        (lambda: Sigmoid(train_steps=1), "whole number"),
        (lambda: SigmoidSignal(start=3.0), "start < end"),
        (lambda: SigmoidSignal(tau=0.0), "tau above 0"),
        (lambda: SigmoidSignal(train_steps=0), "whole number"),
    ],
)
def test_refusals_say_what_to_do(build, advice):
    with pytest.raises(InvalidInput, match=advice):
        build()


def test_grids_carry_the_path_between_their_points():
    grid = Trailing().grid(ScaledLinear(), 6)
    assert isinstance(grid, Grid)
    point = grid.at_level(1.0)
    assert point.alpha == pytest.approx(math.sqrt(0.5))
    assert point.model_time == ScaledLinear().model_time(np.array([1.0]))[0]

"""Spacings of noise levels against the installed diffusers and k-diffusion's formulas."""

import dataclasses
import math

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import (
    EDM,
    VE,
    BetaQuantile,
    Cosine,
    Exponential,
    Final,
    Flow,
    Karras,
    Label,
    Linear,
    Measure,
    Polyexponential,
    Rounded,
    ScaledLinear,
    Trailing,
    Trigonometric,
)
from tests.oracles import float64

BETAS = {
    Linear(): {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    ScaledLinear(): {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    Cosine(): {"beta_schedule": "squaredcos_cap_v2"},
}
every_vp = pytest.mark.parametrize("schedule", BETAS, ids=lambda item: type(item).__name__)
SPACINGS = {"karras": Karras(), "exponential": Exponential(), "beta": BetaQuantile()}
every_spacing = pytest.mark.parametrize("name", SPACINGS)


def upstream(module, steps, **config):
    kinds = {
        "euler_discrete": "EulerDiscreteScheduler",
        "dpmsolver_multistep": "DPMSolverMultistepScheduler",
        "flow_match_euler_discrete": "FlowMatchEulerDiscreteScheduler",
    }
    scheduler = getattr(float64.module(module), kinds[module])(**config)
    scheduler.set_timesteps(steps)
    return scheduler


def levels(spacing, schedule, steps):
    grid = spacing.grid(schedule, steps)
    return grid.sigma / grid.alpha


@every_vp
@every_spacing
@pytest.mark.parametrize("steps", [2, 9, 30])
@pytest.mark.parametrize("ends", [(None, None), (0.05, 12.0)])
def test_levels_and_times_are_those_of_diffusers_euler(schedule, name, steps, ends):
    low, high = ends
    scheduler = upstream(
        "euler_discrete",
        steps,
        **BETAS[schedule],
        sigma_min=low,
        sigma_max=high,
        **{f"use_{name}_sigmas": True},
    )
    spacing = dataclasses.replace(SPACINGS[name], sigma_min=low, sigma_max=high)
    grid = spacing.grid(schedule, steps)
    expected = scheduler.sigmas.numpy()
    # 1e-12 of the level; the cosine schedule's end, sigma_ve = 2e4, loses digits in 1 - alpha^2.
    rtol = 1e-12 if not isinstance(schedule, Cosine) or high else 1e-9
    np.testing.assert_allclose(grid.sigma / grid.alpha, expected, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(grid.model_time[:-1], scheduler.timesteps.numpy(), atol=1e-7)


@every_vp
@every_spacing
def test_times_told_by_diffusers_dpm_solver_are_whole_under_karras(schedule, name):
    """It rounds the times of Karras' levels, except on the cosine schedule; others it truncates."""
    scheduler = upstream(
        "dpmsolver_multistep", 15, **BETAS[schedule], **{f"use_{name}_sigmas": True}
    )
    exact = SPACINGS[name].grid(schedule, 15)
    whole = Rounded(SPACINGS[name]).grid(schedule, 15)
    np.testing.assert_array_equal(whole.sigma, exact.sigma)
    told = scheduler.timesteps.numpy()
    if name == "karras" and not isinstance(schedule, Cosine):
        np.testing.assert_array_equal(whole.model_time[:-1], told)
    else:
        # timesteps go through int64 unrounded, an accident of the tensor's type: not reproduced.
        np.testing.assert_array_equal(np.floor(exact.model_time[:-1] + 1e-7), told)


@every_vp
def test_lu_lambdas_are_the_exponential_levels_with_whole_times(schedule):
    # On Linear all log sigma differ in sign; upstream's power rho = 1 allows that.
    scheduler = upstream("dpmsolver_multistep", 12, **BETAS[schedule], use_lu_lambdas=True)
    grid = Rounded(Exponential()).grid(schedule, 12)
    np.testing.assert_allclose(grid.sigma / grid.alpha, scheduler.sigmas.numpy(), rtol=1e-9)
    if not isinstance(schedule, Cosine):
        np.testing.assert_array_equal(grid.model_time[:-1], scheduler.timesteps.numpy())


@every_spacing
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_is_spaced_in_its_own_time_as_in_diffusers(name, shift):
    scheduler = float64.module("flow_match_euler_discrete").FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, **{f"use_{name}_sigmas": True}
    )
    scheduler.set_timesteps(10, mu=math.log(shift))
    spacing = dataclasses.replace(SPACINGS[name], measure=Measure.TIME)
    grid = spacing.grid(Flow(shift, 1000.0), 10)
    np.testing.assert_allclose(grid.sigma, scheduler.sigmas.numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(grid.model_time[:-1], scheduler.timesteps.numpy(), rtol=1e-12)


@pytest.mark.parametrize("rho", [0.5, 1.0, 3.0])
def test_polyexponential_is_that_of_k_diffusion(rho):
    ramp = np.linspace(1, 0, 9) ** rho
    expected = [math.exp(r * (math.log(20) - math.log(0.1)) + math.log(0.1)) for r in ramp]
    found = levels(Polyexponential(rho, 0.1, 20.0), VE(label=Label.LOG), 9)
    np.testing.assert_allclose(found, [*expected, 0.0], rtol=1e-14)


def test_polyexponential_of_degree_1_is_exponential():
    one, other = (s.grid(ScaledLinear(), 11) for s in (Polyexponential(), Exponential()))
    np.testing.assert_allclose(one.sigma, other.sigma, rtol=1e-12)
    np.testing.assert_allclose(one.model_time[:-1], other.model_time[:-1], atol=1e-8)


def test_exponential_levels_are_even_in_half_logsnr():
    grid = Exponential().grid(Linear(), 20)
    half = np.array([grid[i].half_logsnr for i in range(20)])
    np.testing.assert_allclose(np.diff(half), (half[-1] - half[0]) / 19, rtol=1e-10)


@pytest.mark.parametrize(
    "spacing", [Karras(), Exponential(), Polyexponential(2.0), BetaQuantile()], ids=str
)
@pytest.mark.parametrize("schedule", [ScaledLinear(), EDM()], ids=str)
def test_a_spacing_may_run_on_to_its_last_level(spacing, schedule):
    """As k-diffusion's concat_zero=False: the levels of N + 1 steps without the zero."""
    longer = spacing.grid(schedule, 9)
    spaced = dataclasses.replace(spacing, final=Final.SPACED).grid(schedule, 8)
    assert spaced.steps == 8
    for name in ("alpha", "sigma", "model_time"):
        np.testing.assert_array_equal(getattr(spaced, name), getattr(longer, name)[:-1])
    assert spaced.noise_gain == longer.noise_gain


def test_dpm_solvers_own_spacing_ends_at_the_last_level():
    """Algorithm of its paper: lambda_i = lambda_T + i / N (lambda_0 - lambda_T), i = 0 .. N."""
    alpha, sigma = Linear().at(np.array([999.0, 0.0]))
    ends = np.log(alpha / sigma)
    expected = ends[0] + np.arange(7) / 6 * (ends[1] - ends[0])
    grid = Exponential(final=Final.SPACED).grid(Linear(), 6)
    np.testing.assert_allclose(np.log(grid.alpha / grid.sigma), expected, rtol=1e-11)


def test_beta_quantiles_of_times_are_whole_on_train_times():
    grid = BetaQuantile(measure=Measure.TIME).grid(ScaledLinear(), 12)
    times = grid.model_time[:-1]
    np.testing.assert_array_equal(times, np.round(times))
    assert (times[0], times[-1]) == (999, 0)
    _, sigma = ScaledLinear().at(times)
    np.testing.assert_array_equal(grid.sigma[:-1], sigma)
    spaced = BetaQuantile(measure=Measure.TIME, final=Final.SPACED).grid(ScaledLinear(), 12)
    assert spaced.model_time[-1] == 0
    assert spaced.sigma[-1] > 0


def test_beta_quantiles_follow_their_numbers():
    low, high = (
        levels(BetaQuantile(a, b, 1.0, 3.0), VE(label=Label.LOG), 5)[2]
        for a, b in ((1.0, 3.0), (3.0, 1.0))
    )
    assert low == pytest.approx(1 + 2 * (1 - 0.5 ** (1 / 3)), rel=1e-12)
    assert high == pytest.approx(1 + 2 * 0.5 ** (1 / 3), rel=1e-12)
    # a = b = 1 is linear.
    found = levels(BetaQuantile(1.0, 1.0, 1.0, 3.0), VE(label=Label.LOG), 5)
    np.testing.assert_allclose(found, [3, 2.5, 2, 1.5, 1, 0])


@pytest.mark.parametrize(
    ("spacing", "schedule", "advice"),
    [
        (Exponential(), Flow(), "such as 0.002 and 80"),
        (BetaQuantile(), Flow(), "such as 0.002 and 80"),
        (BetaQuantile(), Trigonometric(), "such as 0.002 and 80"),
        (Exponential(measure=Measure.TIME), Linear(), "model times above 0"),
        (Exponential(sigma_min=5.0, sigma_max=4.0), Linear(), "falling"),
        (Karras(measure=Measure.TIME, sigma_max=2000.0, sigma_min=1.0), Linear(), "beyond the tr"),
        (Karras(1e-3, 0.1, 80.0), VE(), "larger than any number"),
        (BetaQuantile(measure=Measure.TIME), ScaledLinear(train_steps=10), "fewer steps"),
        (Trailing(Final.SPACED), Linear(), "spacing of noise levels"),
        (Exponential(final=Final.LAST), Linear(), r"Use Final\.ZERO"),
    ],
)
def test_what_does_not_fit_is_refused(spacing, schedule, advice):
    with pytest.raises(InvalidInput, match=advice):
        spacing.grid(schedule, 10)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Exponential(sigma_min=0.0),
        lambda: Exponential(sigma_max=math.nan),
        lambda: Polyexponential(rho=0.0),
        lambda: BetaQuantile(a=-1.0),
        lambda: BetaQuantile(b=math.inf),
    ],
)
def test_numbers_that_give_no_levels_are_refused(build):
    with pytest.raises(InvalidInput, match="above 0"):
        build()


@pytest.mark.parametrize("spacing", [Exponential(), Polyexponential(), BetaQuantile()], ids=str)
@pytest.mark.parametrize("steps", [0, 1001, True, 2.0])
def test_impossible_step_counts_are_refused(spacing, steps):
    with pytest.raises(InvalidInput, match="whole number from 1 to 1000"):
        spacing.grid(Linear(), steps)

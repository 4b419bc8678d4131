"""Spacings of written-down points: pinned, published, respaced."""

import math

import numpy as np
import pytest
from diffusers.schedulers import AysSchedules

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import (
    EDM,
    AlignYourSteps,
    Cosine,
    Final,
    Flow,
    Levels,
    Linear,
    Published,
    Respaced,
    ScaledLinear,
    Strided,
    Timesteps,
)
from tests.oracles import float64
from tests.oracles.pair import SCHEDULES

every_vp = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda item: type(item).__name__)


def levels(grid):
    return grid.sigma / grid.alpha


# Pinned times and levels


@every_vp
def test_pinned_times_are_those_given_to_diffusers(schedule):
    times = [999, 850, 736, 545, 343, 124, 24]
    scheduler = float64.module("euler_discrete").EulerDiscreteScheduler(**SCHEDULES[schedule])
    scheduler.set_timesteps(timesteps=times)
    grid = Timesteps(tuple(map(float, times))).grid(schedule, 7)
    np.testing.assert_array_equal(grid.model_time[:-1], times)
    rtol = 1e-9 if isinstance(schedule, Cosine) else 1e-12
    np.testing.assert_allclose(levels(grid), scheduler.sigmas.numpy(), rtol=rtol)


@every_vp
def test_pinned_levels_are_those_given_to_diffusers(schedule):
    given = (14.0, 6.5, 1.9, 0.65, 0.15, 0.0)
    scheduler = float64.module("euler_discrete").EulerDiscreteScheduler(**SCHEDULES[schedule])
    scheduler.set_timesteps(sigmas=list(given))
    grid = Levels(given).grid(schedule, 5)
    np.testing.assert_allclose(levels(grid), scheduler.sigmas.numpy(), rtol=1e-12)
    np.testing.assert_allclose(grid.model_time[:-1], scheduler.timesteps.numpy(), rtol=1e-9)
    kept = Levels(given[:-1]).grid(schedule, 4)
    np.testing.assert_allclose(kept.model_time, grid.model_time[:-1])


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        (Timesteps((999.0, 499.0)), r"Timesteps\(times=\(999.0, 499.0\).* pins 2 .*Ask for 2"),
        (Levels((9.0, 3.0, 1.0, 0.0)), r"Levels\(levels=\(9.0, 3.0, 1.0, 0.0\)\) pins 3 "),
    ],
)
@pytest.mark.parametrize("steps", [1, 4, 20, True])
def test_a_pinned_list_refuses_another_number_of_steps(spacing, message, steps):
    with pytest.raises(InvalidInput, match=message):
        spacing.grid(Linear(), steps)
    assert spacing.grid(Linear(), spacing.steps).steps == spacing.steps


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda: Timesteps(()), "at least one time"),
        (lambda: Timesteps((math.nan,)), "all finite"),
        (lambda: Timesteps((1000.0,)).grid(Linear(), 1), "beyond the trained range"),
        (lambda: Timesteps((1.0, 2.0)).grid(Linear(), 2), "falling noise level"),
        (lambda: Levels((1.0,)), "at least two"),
        (lambda: Levels((1.0, 1.0)), "falling"),
        (lambda: Levels((1.0, -1.0)), "0 or more"),
        (lambda: Levels((math.inf, 1.0)), "finite"),
        (lambda: Levels((math.nan, 1.0)), "finite"),
        (lambda: Levels((20.0, 0.0)).grid(ScaledLinear(), 1), "most noise that"),
        (lambda: Levels((90.0, 0.0)).grid(EDM(), 1), "Start at most there"),
    ],
)
def test_lists_that_are_none_are_refused(build, advice):
    with pytest.raises(InvalidInput, match=advice):
        build()


def test_levels_on_a_flow_are_told_its_time():
    grid = Levels((3.0, 1.0, 0.0)).grid(Flow(time_scale=1000.0), 2)
    np.testing.assert_allclose(grid.model_time[:-1], [750, 500])
    np.testing.assert_allclose(grid.sigma, [0.75, 0.5, 0.0])


# Align Your Steps

SCHEDULE_OF = {
    Published.PICTURE_512: (ScaledLinear(), "StableDiffusionSigmas"),
    Published.PICTURE_1024: (ScaledLinear(), "StableDiffusionXLSigmas"),
    Published.CLIP: (EDM(0.002, 700.0), "StableDiffusionVideoSigmas"),
}


@pytest.mark.parametrize("published", Published)
def test_ten_steps_are_the_published_list(published):
    schedule, name = SCHEDULE_OF[published]
    grid = AlignYourSteps(published).grid(schedule, 10)
    # diffusers' copy has three decimals and its own interpolation of them: up to 3 in the last.
    np.testing.assert_allclose(levels(grid), AysSchedules[name], rtol=2e-3, atol=2.1e-3)
    kept = AlignYourSteps(published, Final.SPACED).grid(schedule, 10)
    assert levels(kept)[-1] == pytest.approx({"clip": 0.002}.get(published.value, 0.0291671582))
    np.testing.assert_array_equal(kept.sigma[:-1], grid.sigma[:-1])


@pytest.mark.parametrize("published", Published)
@pytest.mark.parametrize("steps", [1, 5, 7, 10, 20, 28])
def test_other_numbers_of_steps_are_the_published_interpolation(published, steps):
    """The list reversed, log-linear over [0, 1], reversed again, its last level made 0."""
    schedule, _ = SCHEDULE_OF[published]
    ten = levels(AlignYourSteps(published, Final.SPACED).grid(schedule, 10))
    expected = np.exp(
        np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, 11), np.log(ten[::-1]))
    )[::-1]
    grid = AlignYourSteps(published).grid(schedule, steps)
    np.testing.assert_allclose(levels(grid)[:-1], expected[:-1], rtol=1e-12)
    assert levels(grid)[-1] == 0.0


def test_times_of_the_published_levels_are_near_the_published_times():
    grid = AlignYourSteps(Published.PICTURE_512).grid(ScaledLinear(), 10)
    found = np.round(grid.model_time[:-1])
    assert np.abs(found - AysSchedules["StableDiffusionTimesteps"]).max() <= 3


@pytest.mark.parametrize("schedule", [Linear(), Flow(), EDM(), Cosine()], ids=str)
def test_published_levels_are_refused_elsewhere(schedule):
    with pytest.raises(InvalidInput, match=r"another kind of network. Use Karras\(\), or Levels"):
        AlignYourSteps().grid(schedule, 10)


# Respacing


def space_timesteps(count, sections):
    """guided-diffusion's rule, re-derived: per section a float stride, summed, rounded."""
    size, extra, start, kept = count // len(sections), count % len(sections), 0, []
    for number, wanted in enumerate(sections):
        length = size + (1 if number < extra else 0)
        stride = (length - 1) / (wanted - 1) if wanted > 1 else 1
        place = 0.0
        for _ in range(wanted):
            kept.append(start + round(place))
            place += stride
        start += length
    return sorted(kept)


@pytest.mark.parametrize("count", [1000, 603, 4000])
@pytest.mark.parametrize(
    "sections", [(25,), (250,), (10, 15, 20), (1, 2, 3, 90), (1,), (90, 60, 60, 20, 20)]
)
def test_respaced_times_and_betas(count, sections):
    schedule = Linear(train_steps=count)
    grid = Respaced(sections).grid(schedule, sum(sections))
    kept = space_timesteps(count, sections)
    np.testing.assert_array_equal(grid.model_time[:-1], kept[::-1])
    # The shorter chain's betas multiply to the same alpha^2 at the kept times.
    before, betas = 1.0, []
    for alpha_bar in np.cumprod(1 - schedule.betas())[kept]:
        betas.append(1 - alpha_bar / before)
        before = alpha_bar
    np.testing.assert_allclose(np.sqrt(np.cumprod(1 - np.array(betas)))[::-1], grid.alpha[:-1])
    ours = 1 - (grid.alpha[:-1] / grid.alpha[1:]) ** 2
    np.testing.assert_allclose(ours[::-1], betas, rtol=1e-9, atol=1e-15)


def test_one_section_takes_as_many_as_there_are_steps():
    found = Respaced().grid(Linear(), 40).model_time
    np.testing.assert_array_equal(found, Respaced((40,)).grid(Linear(), 40).model_time)


@pytest.mark.parametrize("count", [1000, 4000, 999])
def test_strided_times_are_those_of_ddim_n(count):
    schedule = Linear(train_steps=count)
    for steps in (1, 2, 5, 10, 25, 50, 100, 142, 200, count):
        stride = next((i for i in range(1, count + 1) if len(range(0, count, i)) == steps), None)
        if stride is None:
            with pytest.raises(InvalidInput, match=f"no stride keeps {steps} of"):
                Strided().grid(schedule, steps)
            continue
        times = Strided().grid(schedule, steps).model_time[:-1]
        np.testing.assert_array_equal(times, range(0, count, stride)[::-1])


def test_strided_advice_can_be_followed():
    with pytest.raises(InvalidInput, match="143, 167 steps"):
        Strided().grid(Linear(), 150)
    assert Strided().grid(Linear(), 143).steps == 143


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda: Respaced((10, 15)).grid(Linear(), 20), "Ask for 25 steps"),
        (lambda: Respaced((10, 0)), "at least 1"),
        (lambda: Respaced((10, True)), "each of its entries a whole number"),
        (lambda: Respaced((600, 1)).grid(Linear(), 601), "Keep fewer"),
        (lambda: Respaced().grid(Flow(), 10), "continuous. Use Trailing"),
        (lambda: Strided().grid(Flow(), 10), "continuous. Use Trailing"),
        (lambda: Strided().grid(Linear(), 1001), "1 to 1000"),
    ],
)
def test_respacing_refusals(build, advice):
    with pytest.raises(InvalidInput, match=advice):
        build()

"""Even and distilled times, levels between ends, and times told whole, beside diffusers."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import (
    BetaQuantile,
    BetweenEnds,
    Distilled,
    Even,
    Exponential,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    Measure,
    Reach,
    Rounded,
    Rounding,
    ScaledLinear,
    Shifted,
    Timesteps,
    Trailing,
)
from tests.oracles.pair import SCHEDULES, upstream

FLOW = Flow(3.0, 1000.0)
LEVELS = {
    "use_karras_sigmas": Karras(),
    "use_exponential_sigmas": Exponential(),
    "use_beta_sigmas": BetaQuantile(),
}


def visited(grid):
    return np.array([grid[i].sigma_ve for i in range(grid.steps)])


def near(found, expected):
    return np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("steps", [2, 7, 25])
def test_even_times_are_linspace_of_sigma_schedulers(schedule, steps):
    grid = Even().grid(schedule, steps)
    scheduler = upstream("euler_discrete", steps, **SCHEDULES[schedule])
    near(grid.model_time[:-1], scheduler.timesteps)
    near(visited(grid), scheduler.sigmas[:-1])


@pytest.mark.parametrize("steps", [1, 4, 28])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_an_even_flow_whose_end_is_shifted_twice(shift, steps):
    least = float(Flow(shift).spaced(np.array(1e-3)))
    grid = Even(last=least).grid(Flow(shift, 1000.0), steps)
    scheduler = upstream("flow_match_euler_discrete", steps, shift=shift)
    near(grid.model_time[:-1], scheduler.timesteps)
    near(grid.sigma, scheduler.sigmas)


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_an_even_flow_below_pure_noise(steps):
    spacing = Rounded(Even(0.999, 0.0, Reach.LEFT_OUT), Rounding.DOWN)
    grid = spacing.grid(FLOW, steps)
    config = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
    scheduler = upstream("dpmsolver_multistep", steps, **config)
    near(grid.sigma, scheduler.sigmas)
    near(grid.model_time[:-1], scheduler.timesteps)
    assert grid.noise_gain == 1.0


@pytest.mark.parametrize("kept", [50, 25])
@pytest.mark.parametrize("steps", [1, 3, 4, 8, 25])
@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_distilled_times(name, steps, kept):
    scheduler = upstream(name, steps, original_inference_steps=kept)
    grid = Distilled(kept).grid(ScaledLinear(), steps)
    assert grid.model_time[:-1].tolist() == scheduler.timesteps.tolist()


@pytest.mark.parametrize("option", LEVELS)
@pytest.mark.parametrize("steps", [2, 9, 20])
@pytest.mark.parametrize(
    ("ends", "config"),
    [
        (Leading(1), {"timestep_spacing": "leading", "steps_offset": 1}),
        (Trailing(), {"timestep_spacing": "trailing"}),
        (Even(), {}),
    ],
    ids=str,
)
def test_levels_between_the_ends_of_another_spacing(option, steps, ends, config):
    grid = BetweenEnds(LEVELS[option], ends).grid(Linear(), steps)
    scheduler = upstream("euler_discrete", steps, **config, **{option: True}, **SCHEDULES[Linear()])
    np.testing.assert_allclose(visited(grid), scheduler.sigmas[:-1], rtol=1e-11)
    np.testing.assert_allclose(grid.model_time[:-1], scheduler.timesteps, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("kind", [Karras, Exponential, BetaQuantile])
@pytest.mark.parametrize("steps", [2, 9, 20])
def test_times_of_a_flow_between_ends(kind, steps):
    option = next(name for name, level in LEVELS.items() if isinstance(level, kind))
    spacing = BetweenEnds(kind(measure=Measure.TIME), Shifted(Linspace(), 1.0))
    grid = spacing.grid(Flow(1.0, 1000.0), steps)
    scheduler = upstream("flow_match_euler_discrete", steps, **{option: True})
    np.testing.assert_allclose(grid.sigma, scheduler.sigmas, rtol=1e-11)
    assert grid.alpha[0] == 0.0


def test_given_ends_stay():
    spacing = BetweenEnds(Karras(sigma_max=9.0, final=Final.LAST), Leading(40))
    grid = spacing.grid(Linear(), 10)
    assert grid[0].sigma_ve == pytest.approx(9.0)
    assert grid[9].sigma_ve == pytest.approx(Leading(40).grid(Linear(), 10)[9].sigma_ve)
    assert grid[10].sigma > 0.0


@pytest.mark.parametrize(
    ("rounding", "at", "between"),
    [(Rounding.NEAREST, 1, 1), (Rounding.POINTS, 1, 0), (Rounding.DOWN, -1, -1)],
)
def test_told_whole(rounding, at, between):
    exact = Karras(7.0, 0.03, 60.0).grid(Linear(), 9)
    grid = Rounded(Karras(7.0, 0.03, 60.0), rounding).grid(Linear(), 9)
    times = exact.model_time[:-1]
    assert grid.model_time[:-1].tolist() == (np.round(times) if at > 0 else times // 1).tolist()
    level = np.array([0.777])
    told, truth = grid.path.model_time(level)[0], exact.path.model_time(level)[0]
    assert truth % 1.0 > 0.0
    assert told == {1: np.round(truth), 0: truth, -1: truth // 1}[between]
    near(grid.path.coordinates(level), exact.path.coordinates(level))
    near(grid.path.at(level), exact.path.at(level))


def test_a_time_that_is_whole_but_for_its_rounding_is_not_cut():
    grid = Rounded(Timesteps((700.0 - 1e-12, 3.5)), Rounding.DOWN).grid(Linear(), 2)
    assert grid.model_time[:-1].tolist() == [700.0, 3.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Even(0.5, 0.5), "must fall"),
        (lambda: Even(1.1), "must fall"),
        (lambda: Even().grid(Linear(), 1), "1 step"),
        (lambda: Even().grid(FLOW, 4), "no more noise"),
        (lambda: Distilled(0), "at least 1"),
        (lambda: Distilled(True), "a whole number"),
        (lambda: Distilled(1001).grid(Linear(), 4), "at most 1000"),
        (lambda: Distilled(4).grid(Linear(), 5), "1 to 4"),
        (lambda: Distilled().grid(FLOW, 4), "continuous"),
        (lambda: BetweenEnds(Trailing()), "no ends to give"),
        (lambda: BetweenEnds().grid(Linear(), 1), "at least 2"),
    ],
)
def test_refused(make, words):
    with pytest.raises(InvalidInput, match=words):
        make()


def test_pinned_ends_pin_the_steps():
    assert BetweenEnds(Karras(), Timesteps((900.0, 40.0))).steps == 2
    assert BetweenEnds().steps is None
    assert repr(Even(reach=Reach.LEFT_OUT)).count("Reach.LEFT_OUT") == 1

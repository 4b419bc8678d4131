"""Shifts of a flow's times that a request chooses, against diffusers' flow-matching scheduler."""

import math

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import (
    Flow,
    Growth,
    Karras,
    Linear,
    Linspace,
    Measure,
    ResolutionShifted,
    Shifted,
    Stretched,
    Trailing,
    Trigonometric,
)
from tests.oracles import float64

FLOW = Flow(time_scale=1000.0)


def upstream(steps, mu, given=None, **config):
    module = float64.module("flow_match_euler_discrete")
    scheduler = module.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **config)
    scheduler.set_timesteps(steps, mu=mu, sigmas=given)
    return scheduler


def assert_same(grid, scheduler):
    np.testing.assert_allclose(grid.sigma, scheduler.sigmas.numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(grid.model_time[:-1], scheduler.timesteps.numpy(), rtol=1e-12)
    np.testing.assert_allclose(grid.alpha, 1 - grid.sigma, atol=1e-15)
    assert math.isnan(grid.model_time[-1])


@pytest.mark.parametrize("tokens", [64, 256, 1024, 4096, 9000])
@pytest.mark.parametrize("growth", Growth)
@pytest.mark.parametrize("steps", [1, 4, 28])
def test_times_of_a_resolution_are_those_of_diffusers(tokens, growth, steps):
    mu = (1.15 - 0.5) / (4096 - 256) * tokens + 0.5 - (1.15 - 0.5) / (4096 - 256) * 256
    given = list(np.linspace(1.0, 1 / steps, steps))  # as the pipelines pass them
    spacing = ResolutionShifted(Trailing(), tokens, growth=growth)
    assert spacing.mu == pytest.approx(mu, rel=1e-14)
    assert_same(spacing.grid(FLOW, steps), upstream(steps, mu, given, time_shift_type=growth.value))


def test_without_given_times_it_is_linspace():
    spacing = ResolutionShifted(Linspace(), 1024)
    assert_same(spacing.grid(FLOW, 12), upstream(12, spacing.mu))


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 12.0])
def test_a_shift_of_the_request_replaces_that_of_the_schedule(shift):
    found = Shifted(Trailing(), shift).grid(Flow(7.0, 1000.0), 9)
    expected = Trailing().grid(Flow(shift, 1000.0), 9)
    np.testing.assert_array_equal(found.sigma, expected.sigma)
    np.testing.assert_array_equal(found.model_time, expected.model_time)


@pytest.mark.parametrize("terminal", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("steps", [2, 5, 30])
@pytest.mark.parametrize("mu", [0.5, 1.15])
def test_stretched_times_are_those_of_diffusers(terminal, steps, mu):
    given = list(np.linspace(1.0, 1 / steps, steps))
    spacing = Stretched(Shifted(Trailing(), math.exp(mu)), terminal)
    grid = spacing.grid(FLOW, steps)
    assert_same(grid, upstream(steps, mu, given, shift_terminal=terminal))
    assert grid.sigma[0] == 1.0
    assert grid.sigma[-2] == pytest.approx(terminal, rel=1e-13)


def test_shift_and_karras_in_time_nest():
    mu = 0.8
    scheduler = upstream(9, mu, use_karras_sigmas=True)
    grid = Shifted(Karras(measure=Measure.TIME), math.exp(mu)).grid(FLOW, 9)
    assert_same(grid, scheduler)


@pytest.mark.parametrize("spacing", [Shifted(), ResolutionShifted(), Stretched()], ids=str)
@pytest.mark.parametrize("schedule", [Linear(), Trigonometric()], ids=str)
def test_only_a_flow_is_shifted(spacing, schedule):
    with pytest.raises(InvalidInput, match=r"is none. Use Trailing\(.*\) alone"):
        spacing.grid(schedule, 4)


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda: Shifted(Trailing(), 0.0), "above 0"),
        (lambda: Shifted(Trailing(), math.inf), "finite"),
        (lambda: Stretched(Trailing(), 0.0), "between 0 and 1"),
        (lambda: Stretched(Trailing(), 1.0), "between 0 and 1"),
        (lambda: Stretched().grid(FLOW, 1), "at least 2 steps"),
        (lambda: ResolutionShifted(tokens=0), "tokens above 0"),
        (lambda: ResolutionShifted(base_tokens=4096), "base_tokens < max_tokens"),
        (lambda: ResolutionShifted(max_shift=math.nan), "finite shifts"),
        (
            lambda: ResolutionShifted(tokens=1, base_shift=-1.0, growth=Growth.LINEAR),
            r"Use Growth\.EXPONENTIAL",
        ),
    ],
)
def test_refusals_say_what_to_do(build, advice):
    with pytest.raises(InvalidInput, match=advice):
        build()

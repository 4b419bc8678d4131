"""Points that are left of a longer run, beside diffusers' consistency scheduler."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import VE, Final, Flow, Karras, Linear, Linspace, Thinned
from tests.oracles.pair import upstream

LEVELS = VE(0.002, 80.0)


@pytest.mark.parametrize("kept", [40, 18])
@pytest.mark.parametrize("steps", [1, 2, 7, 8, 18])
def test_levels_of_consistency_models(steps, kept):
    scheduler = upstream("consistency_models", steps, num_train_timesteps=kept)
    grid = Thinned(Karras(7.0, 0.002, 80.0), kept).grid(LEVELS, steps)
    np.testing.assert_allclose(grid.sigma[:-1], scheduler.sigmas[:-1], rtol=1e-12)
    np.testing.assert_allclose(250 * np.log(grid.model_time[:-1]), scheduler.timesteps, rtol=1e-12)
    assert (grid.alpha[-1], grid.sigma[-1]) == (1.0, 0.0)
    assert grid.noise_gain == pytest.approx(80.0)


def test_every_point_that_is_kept_is_one_of_the_longer_run():
    spacing = Karras(sigma_min=0.1, final=Final.LAST)
    longer = spacing.grid(Linear(), 12)
    grid = Thinned(spacing, 12).grid(Linear(), 5)
    assert grid.model_time.tolist() == longer.model_time[[0, 2, 4, 6, 8, 12]].tolist()
    assert grid[5].sigma == longer[12].sigma > 0.0
    assert grid.at_level(0.7).model_time == longer.at_level(0.7).model_time
    assert Thinned(Linspace(), 12).grid(Flow(3.0), 12).steps == 12


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Thinned(kept=0), "at least 1"),
        (lambda: Thinned(kept=True), "a whole number"),
        (lambda: Thinned(Karras(), 4).grid(LEVELS, 5), "1 to 4"),
        (lambda: Thinned(Linspace(), 2000).grid(Linear(), 5), "1 to 1000"),
    ],
)
def test_refused(make, words):
    with pytest.raises(InvalidInput, match=words):
        make()

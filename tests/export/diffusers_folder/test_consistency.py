"""The scheduler of consistency models: sampler and boundary, beside diffusers in float64."""

import inspect

import diffusers
import numpy as np
import pytest

from denoisert.export.sources.diffusers.consistency import (
    CONSISTENCY,
    DEFAULTS,
    Boundary,
    read_boundary,
    read_consistency,
)
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import VE, Karras, Label, Thinned
from denoisert.runtime.sampling.solvers import Bounded, ConsistencyMultistep
from tests.oracles import float64
from tests.oracles.pair import LAYOUT, SHAPE, assert_close, draws, tanh_network, upstream


def test_the_defaults_are_those_of_the_class():
    signature = inspect.signature(diffusers.CMStochasticIterativeScheduler.__init__).parameters
    expected = {name: each.default for name, each in signature.items() if name != "self"}
    assert dict(DEFAULTS) == expected


def test_what_a_folder_recommends():
    sampling = read_consistency({})
    training, advice = sampling.training, sampling.recommended
    assert training.parametrisation is Parametrisation.X0
    assert training.schedule == VE(0.002, 80.0, Label.SIGMA)
    assert training.distilled
    assert advice.solver == Bounded(ConsistencyMultistep(0.002), Clip())
    assert advice.spacing == Thinned(Karras(7.0, 0.002, 80.0), 40)
    assert (advice.steps, advice.guidance) == (1, Unguided())


def inside(boundary, network):
    """Levels sigma and states -> clean estimates, as the graph computes them."""

    def answer(x, sigma):
        scale, above = np.hypot(sigma, boundary.data), sigma - boundary.least
        skip = boundary.data**2 / (above**2 + boundary.data**2)
        return skip * x + above * boundary.data / scale * network(x / scale, 250 * np.log(sigma))

    return answer


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"clip_denoised": False, "sigma_data": 0.7},
        {"num_train_timesteps": 151, "sigma_max": 30.0, "sigma_min": 0.01, "rho": 5.0},
    ],
    ids=str,
)
def test_the_sampler_is_that_of_diffusers(config, steps):
    rng = np.random.default_rng(5)
    network, noise = tanh_network(rng), draws(rng, steps)
    sampling, boundary = read_consistency(config), read_boundary(config)
    advice = sampling.recommended
    grid = advice.spacing.grid(sampling.training.schedule, steps)
    table = fold(advice.solver.rows(grid), sampling.training.parametrisation, Unguided())
    told = inside(boundary, network)
    found = execute(table, LAYOUT, lambda x, sigma, _: told(x, sigma), noise).latent
    scheduler = upstream("consistency_models", steps, **config)
    start = scheduler.init_noise_sigma * noise[0].reshape(SHAPE)
    both = float64.sample(scheduler, network, start, generator=float64.Noises(noise[1:]))
    assert_close(found, both.reshape(-1), 1e-11)
    assert np.abs(found).max() > 0.1


def test_a_boundary_of_its_own():
    assert read_boundary({"sigma_min": 0.01, "sigma_data": 1}) == Boundary(0.01, 1.0)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"s_noise": 1.01}, "s_noise = 1.01; only 1.0"),
        ({"sigma_min": 90.0}, "above 0 and rising"),
        ({"sigma_min": 0.0}, "sigma_min 0.0 and sigma_data 0.5 must be above 0"),
        ({"sigma_data": -1.0}, "sigma_data -1.0 must be above 0"),
        ({"num_train_timesteps": 0}, "at least 1"),
        ({"rho": 0.0}, "finite and above 0"),
        ({"rho": 1e-3}, "larger than any number"),
        ({"rho": "seven"}, f"{CONSISTENCY}.rho"),
        ({"clip_denoised": 1}, f"{CONSISTENCY}.clip_denoised"),
    ],
    ids=str,
)
def test_what_no_table_reproduces(config, words):
    with pytest.raises(ExportError, match=words):
        read_consistency(config)

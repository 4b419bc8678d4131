"""Papers whose runs hand something on: recorded noise, pairs of latents, a first noise, arrays."""

import numpy as np
import pytest

from denoisert.kernels.philox import reference as philox
from denoisert.runtime import (
    DDIM,
    EDICT,
    RES,
    DPMSolverV3,
    Ending,
    Final,
    Inverse,
    Karras,
    Latents,
    Noised,
    NoiseEncoder,
    NoiseReplay,
    Request,
    Runtime,
    Start,
    Trailing,
    Unguided,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.sampling.schedules import Linear
from denoisert.runtime.sampling.solvers.model_statistics import Statistics
from tests.catalogue.runs import EPS
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron

ELEMENTS = 60
PICTURE = np.random.default_rng(0).standard_normal(ELEMENTS).astype(np.float32)
STEPS = {"steps": 12, "schedule": Trailing(Final.LAST), "guidance": Unguided()}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    toy = perceptron(seed=7, time_gain=0.001, gain=0.5)
    path = compiled(
        toy,
        tmp_path_factory.mktemp("handed"),
        training=Training(EPS, Linear()),
        sampler=Recommended(DDIM(), Trailing(), 6),
    )
    with Runtime.open(path) as opened:
        yield opened


@pytest.mark.paper(19)
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_a_picture_is_recorded_by_one_request_and_edited_by_another(runtime, eta):
    """The same class gives the encoded picture again; another class its edit."""
    encoder = Request(3, seed=1, solver=NoiseEncoder(eta), start=Start(PICTURE, 1.0), **STEPS)
    encoded = runtime.generate(encoder)
    (tape,) = encoded.tapes[0]
    assert tape.shape == (13, ELEMENTS)
    handed = Start(buffers={"recorded": tape})
    same, other = (
        runtime.generate(Request(label, solver=NoiseReplay(eta), start=handed, **STEPS)).flat[0]
        for label in (3, 8)
    )
    np.testing.assert_allclose(same, encoded.flat[0], rtol=0, atol=1e-4)
    assert np.abs(same - PICTURE).max() < 0.2  # the last point keeps some noise
    assert np.abs(other - same).max() > 0.05


@pytest.mark.paper(96)
def test_an_inverted_picture_comes_back_through_requests_and_is_edited(runtime):
    up = runtime.generate(Request(3, solver=Inverse(EDICT()), start=Start(PICTURE, 1.0), **STEPS))
    start = Start(up.flat[0], 1.0, {"second": up.tapes[0][0]}, Noised.ALREADY)
    solver = EDICT(begin=Latents.PAIR)
    back, edit = (
        runtime.generate(Request(label, solver=solver, start=start, **STEPS)).flat[0]
        for label in (3, 8)
    )
    np.testing.assert_allclose(back, PICTURE, rtol=0, atol=2e-3)
    assert np.abs(edit - PICTURE).max() > 0.05


@pytest.mark.paper(23)
@pytest.mark.paper(115)
def test_a_given_first_noise_takes_the_place_of_the_seeds(runtime):
    """Noise as the seed would draw it changes no bit; one noise makes all requests alike."""
    drawn = philox.normals(5, draw=0, image=0, count=ELEMENTS).astype(np.float32)
    plain = runtime.generate(Request(3, seed=5)).flat[0]
    given = Start(drawn, 1.0, noised=Noised.ALREADY)
    np.testing.assert_array_equal(runtime.generate(Request(3, seed=9, start=given)).flat[0], plain)
    law = Start(0.3 + 1.2 * drawn, 1.0, noised=Noised.ALREADY)  # mu + sigma z of some prompt
    results = runtime.generate([Request(3, seed=seed, start=law) for seed in (1, 2)])
    np.testing.assert_array_equal(results[0].flat, results[1].flat)
    assert np.abs(results[0].flat[0] - plain).max() > 0.01


@pytest.mark.paper(111)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_request_hands_the_arrays_in(runtime, order):
    """Those of the clean estimate make it the exponential method of that order."""
    spacing, solver = Karras(7.0, 0.05, 20.0, Final.LAST), DPMSolverV3(order, ending=Ending.FULL)
    grid = spacing.grid(Linear(), 10)
    knots = np.linspace(grid[0].half_logsnr, grid[10].half_logsnr, 2001)
    buffers = solver.externals(grid, Statistics.of_clean_estimate(knots, ELEMENTS))
    same = {"seed": 4, "steps": 10, "schedule": spacing, "guidance": Unguided()}
    found = runtime.generate(Request(3, solver=solver, start=Start(buffers=buffers), **same))
    expected = runtime.generate(Request(3, solver=RES(order), **same))
    size = np.abs(expected.flat).max()
    np.testing.assert_allclose(found.flat, expected.flat, rtol=0, atol=2e-5 * size)
    assert found.nfe == 10

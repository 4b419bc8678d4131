"""Predictor-corrector: exact laws on Gaussian data, latents of their own, and walls."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    Mixture,
    Reflected,
    execute,
    network,
    propagate,
    reflect,
)
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import VE, Exponential, Final, Karras, Linear, Trailing
from denoisert.runtime.sampling.solvers import (
    Correction,
    EulerAncestral,
    Predictor,
    PredictorCorrector,
)
from tests.runtime.sampling.trials import on

EPS, SCORE, V, X0 = (Parametrisation(name) for name in ("eps", "score", "v", "x0"))


@pytest.mark.parametrize("predictor", list(Predictor))
@pytest.mark.parametrize("corrections", [0, 2])
def test_the_variance_on_gaussian_data_converges_to_first_order(predictor, corrections):
    solver = PredictorCorrector(corrections, 0.05, Correction.LEVEL, predictor)
    errors = []
    for steps in (48, 96, 192):
        grid = Karras(7.0, 0.02, 60.0).grid(Linear(), steps)
        table = fold(solver.rows(grid), EPS, Unguided())
        assert table.nfe == steps * (corrections + 1)
        errors.append(abs(propagate(table, [Gaussian(0.0, 0.25)], EPS).covariance[0, 0] - 0.25))
    assert errors[-1] < 0.02
    assert (np.log2(np.array(errors[:-1]) / errors[1:]) > 0.7).all()


def test_corrections_mend_what_the_predictor_misses():
    """Few steps of the predictor alone are far off; Langevin steps at each level bring it back."""
    errors = []
    for corrections in (0, 1, 4, 16):
        solver = PredictorCorrector(corrections, 0.3, Correction.LEVEL)
        grid = Karras(7.0, 0.1, 60.0, Final.LAST).grid(Linear(), 8)
        table = fold(solver.rows(grid), EPS, Unguided())
        found = propagate(table, [Gaussian(0.7, 0.25)], EPS)
        wanted = 0.25 * grid.alpha[-1] ** 2 + grid.sigma[-1] ** 2
        errors.append(abs(found.covariance[0, 0] - wanted))
    assert errors[3] < errors[2] < errors[1] < errors[0]


def test_without_corrections_the_ancestral_predictor_is_euler_ancestral():
    grid = Trailing().grid(Linear(), 8)
    found = PredictorCorrector(0, predictor=Predictor.ANCESTRAL).rows(grid)
    wanted = EulerAncestral().rows(grid)
    np.testing.assert_allclose(found.registers, wanted.registers, rtol=1e-12, atol=1e-14)


def test_a_latents_step_is_its_own():
    """Beside another latent in one state, its norms would mix; alone they are its own."""
    grid = Trailing().grid(Linear(), 4)
    table = fold(PredictorCorrector(1, 0.3).rows(grid), EPS, Unguided())
    rng = np.random.default_rng(0)
    draws = list(rng.standard_normal((9, 8)))
    answer = network([Mixture.of_points(rng.standard_normal((3, 4)))], EPS, on(Linear()))
    layout = StateLayout((Part("x", (4,)),))
    pair = execute(table, StateLayout((Part("x", (8,)),)), answer, draws).latent
    alone = execute(table, layout, answer, [draw[:4] for draw in draws]).latent
    assert np.abs(pair[:4] - alone).max() > 1e-3


def test_guidance_acts_on_the_score_that_is_weighed():
    grid = Trailing().grid(Linear(), 3)
    rows = PredictorCorrector(1, 0.2).rows(grid)
    table = fold(rows, EPS, CFG(3.0))
    vector = table.matrix[1, table.form.vector_row(0)]
    np.testing.assert_allclose(
        vector[table.form.branch(0) : table.form.branch(2)],
        np.array([3.0, -2.0]) * -1 / grid.sigma[0],
        rtol=1e-12,
    )
    assert table.form.registers == 1
    assert table.draws.tolist() == [1, 1, 1, 1, 1, 1, 0]
    with pytest.raises(InvalidInput, match="both have a rule"):
        fold(rows, EPS, CFG(3.0, rescale=0.5))


def box_samples(solver, points, steps=60, count=4000):
    """Many one-dimensional latents in a box, from the exact score of points in it."""
    grid = Exponential(0.01, 50.0).grid(VE(), steps)
    data = Reflected(np.ones(len(points)), np.array(points)[:, None])
    table = fold(solver.rows(grid), SCORE, Unguided())
    layout = StateLayout((Part("x", (count,)),))
    rng = np.random.default_rng(5)
    draws = list(rng.standard_normal((int(table.draws.sum()), count)))
    seen = []

    def score(latent, sigma, condition):
        seen.append(latent)
        return data.score(latent, sigma)

    return execute(table, layout, score, draws).latent, seen


def test_in_a_box_every_latent_that_the_network_sees_is_inside():
    solver = PredictorCorrector(0, box=(0.0, 1.0))
    latent, seen = box_samples(solver, [0.1, 0.55, 0.95], steps=40, count=600)
    assert all(((x >= 0) & (x <= 1)).all() for x in [*seen, latent])
    assert len(seen) == 40
    # The start is uniform: a normal of deviation 50, folded, has no memory of its centre.
    start = np.sort(seen[0])
    assert np.abs(start - (np.arange(600) + 0.5) / 600).max() < 1.63 / np.sqrt(600)


@pytest.mark.parametrize("corrections", [0, 1])
def test_the_box_sampler_has_the_law_of_the_data(corrections):
    """Three points with exact score: after the last step each has its share of the samples."""
    solver = PredictorCorrector(corrections, 0.05, Correction.LEVEL, box=(0.0, 1.0))
    latent, _ = box_samples(solver, [0.1, 0.55, 0.95], steps=80, count=3000)
    shares = [np.mean(np.abs(latent - point) < 0.05) for point in (0.1, 0.55, 0.95)]
    assert sum(shares) > 0.99
    np.testing.assert_allclose(shares, 1 / 3, atol=3 * np.sqrt(2 / 9 / 3000))


def test_a_far_move_is_folded_as_often_as_it_takes():
    grid = Exponential(0.01, 50.0).grid(VE(), 3)
    table = fold(PredictorCorrector(0, box=(-1.0, 3.0)).rows(grid), X0, Unguided())
    layout = StateLayout((Part("x", (5,)),))
    draws = [np.array([-7.3, 0.0, 0.4, 2.2, 900.0]), *np.zeros((2, 5))]
    seen = []

    def answer(latent, sigma, condition):
        seen.append(latent)
        return latent

    execute(table, layout, answer, draws)
    wanted = -1 + 4 * reflect((1.0 + 50.0 * draws[0] + 1) / 4)
    np.testing.assert_allclose(seen[0], wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PredictorCorrector(-1), "corrections -1 must be a whole number"),
        (lambda: PredictorCorrector(snr=0.0), "snr 0.0 must be finite"),
        (lambda: PredictorCorrector(box=(1.0, 1.0)), "is empty"),
        (
            lambda: PredictorCorrector(predictor=Predictor.ANCESTRAL, box=(0.0, 1.0)),
            "Use Predictor.REVERSE_DIFFUSION",
        ),
        (
            lambda: PredictorCorrector(box=(0.0, 1.0)).rows(Trailing().grid(Linear(), 4)),
            "alpha = 1, such as VE",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(InvalidInput, match=message):
        build()

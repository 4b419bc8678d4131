"""Samplers that draw noise on their way: score SDEs, boxes with walls, extended reverse SDEs."""

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DDIM,
    ERSDE,
    Correction,
    Exponential,
    Final,
    Karras,
    NoiseScale,
    Predictor,
    PredictorCorrector,
    Quadrature,
    RungeKutta,
    Scheme,
)
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.oracle import (
    Gaussian,
    Mixture,
    Reflected,
    between_levels,
    execute,
    pushed,
    reflect,
    table_map,
    weak_errors,
)
from denoisert.runtime.sampling.schedules import VE, Linear
from tests.catalogue.runs import EPS, SCORE, answered, moments, samples, table_of

DATA = Gaussian(0.7, 0.25)
MIXTURE = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]]),
    np.array([0.15, 0.25, 0.2]),
)
BOX = Reflected(np.array([1.0, 2.0, 1.0]), np.array([[0.1], [0.5], [0.92]]))
LEVELS = between_levels(VE(), 10.0, 0.1)


@pytest.mark.paper(35)
@pytest.mark.parametrize("predictor", list(Predictor), ids=str)
@pytest.mark.parametrize(
    ("path", "spacing"),
    [(Linear(), Karras(7.0, 0.01, 60.0)), (VE(), Exponential(0.01, 50.0))],
    ids=["vp", "ve"],
)
def test_predictor_and_corrector_reach_the_datas_moments(predictor, path, spacing):
    solver = PredictorCorrector(1, 0.16, Correction.LEVEL, predictor)
    errors = []
    for steps in (100, 200, 400):
        mean, variance = moments(solver, spacing.grid(path, steps), DATA, EPS)
        errors.append(abs(mean - 0.7) + abs(variance - 0.25))
    assert errors[2] < 0.01
    assert errors[2] < 0.7 * errors[1] < errors[0]


@pytest.mark.paper(35)
def test_the_langevin_step_is_the_papers_with_norms_of_each_latent():
    """e = 2 a (snr |xi| / |score|)^2, x += e score + sqrt(2 e) xi, then the reverse diffusion."""
    grid = Karras(7.0, 0.1, 20.0).grid(Linear(), 3)
    draws = list(np.random.default_rng(1).standard_normal((6, 10)))
    found = samples(PredictorCorrector(1, 0.16), grid, MIXTURE, draws, EPS)
    x, left = draws[0], draws[1:]
    for step in range(3):
        now, after = grid[step], grid[step + 1]
        score = lambda x, now=now: MIXTURE.score(x, now.alpha, now.sigma)  # noqa: E731
        xi, keeps = left.pop(0), (now.alpha / after.alpha) ** 2
        size = 2 * keeps * (0.16 * np.linalg.norm(xi) / np.linalg.norm(score(x))) ** 2
        x = x + size * score(x) + np.sqrt(2 * size) * xi
        ratio = now.alpha / after.alpha
        spread = now.sigma**2 - (ratio * after.sigma) ** 2
        x = (2 - ratio) * x + spread * score(x)
        if step < 2:
            x = x + np.sqrt(spread) * left.pop(0)
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-10)


@pytest.mark.paper(35)
def test_the_likelihood_of_the_flow_is_the_datas():
    """Within 0.02 nats per dimension; the determinant of the sampler's own map."""
    grid = between_levels(Linear(), 60.0, 0.05)(100)
    mapping = table_map(table_of(RungeKutta(Scheme.RK4), grid, EPS), [MIXTURE], EPS)
    found = pushed(mapping, np.random.default_rng(2).standard_normal(40), 2)
    end = grid[100]
    truth = MIXTURE.log_density(found.latent, end.alpha, end.sigma)
    assert np.abs(found.log_density - truth).max() < 0.02 * 2


def in_box(solver, data, steps=80, count=3000, guidance=None):
    """Last samples and everything that the network saw, from exact scores."""
    grid = Exponential(0.01, 50.0).grid(VE(), steps)
    table = table_of(solver, grid, SCORE, guidance)
    rng, seen = np.random.default_rng(3), []

    def score(latent, sigma, condition):
        seen.append(latent)
        return data[condition].score(latent, sigma)

    layout = StateLayout((Part("x", (count,)),))
    draws = list(rng.standard_normal((int(table.draws.sum()), count)))
    return execute(table, layout, score, draws).latent, seen


@pytest.mark.paper(27)
@pytest.mark.parametrize("corrections", [0, 1])
def test_samples_stay_in_the_box_and_follow_the_data(corrections):
    """Each of three points gets its share, within three standard deviations of the count."""
    solver = PredictorCorrector(corrections, 0.05, Correction.LEVEL, box=(0.0, 1.0))
    found, seen = in_box(solver, [BOX])
    assert all(x.min() >= 0.0 and x.max() <= 1.0 for x in [*seen, found])
    shares = [np.mean(np.abs(found - point) < 0.06) for point in (0.1, 0.5, 0.92)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=3 * 0.5 / np.sqrt(found.size))
    start = np.sort(seen[0])  # Kolmogorov's bound at 1 %: the start is uniform
    assert np.abs(start - (np.arange(start.size) + 0.5) / start.size).max() < 0.03


@pytest.mark.paper(27)
def test_without_walls_the_same_score_leaves_the_box():
    solver = PredictorCorrector(0)
    grid = Exponential(0.01, 0.6).grid(VE(), 40)
    draws = list(np.random.default_rng(4).standard_normal((41, 500)))
    seen = []

    def score(latent, sigma, condition):
        seen.append(latent)
        return BOX.score(reflect(latent), sigma)

    answered(solver, grid, score, draws, SCORE)
    assert max(np.abs(x - 0.5).max() for x in seen) > 0.6


@pytest.mark.paper(27)
def test_high_guidance_needs_no_threshold():
    """(1 + w) s_c - w s_u at w = 9: inside, and at the condition's point."""
    told = Reflected(np.ones(1), np.array([[0.92]]))
    solver = PredictorCorrector(0, box=(0.0, 1.0))
    found, seen = in_box(solver, [told, BOX], count=600, guidance=CFG(10.0))
    assert all(x.min() >= 0.0 and x.max() <= 1.0 for x in [*seen, found])
    assert np.mean(found > 0.75) > 0.95


@pytest.mark.paper(27)
def test_the_fold_holds_at_any_distance_where_one_mirror_does_not():
    grid = Exponential(0.01, 50.0).grid(VE(), 2)
    draws = [np.linspace(-10, 10, 401) / grid.sigma[0], np.zeros(401)]
    seen = []
    in_the_middle = lambda x, *_: (seen.append(x), np.zeros(401))[1]  # noqa: E731
    answered(PredictorCorrector(0, box=(0.0, 1.0)), grid, in_the_middle, draws, SCORE)
    folded = 0.5 + np.linspace(-10, 10, 401)
    once = np.where(folded < 0, -folded, np.where(folded > 1, 2 - folded, folded))
    for _ in range(12):
        folded = np.where(folded < 0, -folded, np.where(folded > 1, 2 - folded, folded))
    np.testing.assert_allclose(seen[0], folded, atol=1e-9)
    assert np.abs(once - folded).max() > 1


@pytest.mark.paper(79)
@pytest.mark.parametrize(("terms", "order"), [(1, 1), (2, 2), (3, 2)])
def test_two_and_three_terms_have_order_two(terms, order):
    """The third term has a backward difference without its half step: never slope 3."""
    found = weak_errors(ERSDE(terms), LEVELS, DATA, (64, 128, 256))
    np.testing.assert_allclose(found.slopes, order, atol=0.25)


@pytest.mark.paper(79)
def test_the_published_sums_fall_to_order_one():
    fine = (80, 320, 1280)
    sums = weak_errors(ERSDE(3, quadrature=Quadrature.SUM100), LEVELS, DATA, fine)
    exact = weak_errors(ERSDE(3), LEVELS, DATA, fine)
    assert exact.slopes.min() > 1.8
    assert sums.slopes[-1] < 1.3
    assert sums.errors[-1] > 10 * exact.errors[-1]


PHI = {
    NoiseScale.ODE: lambda x: x,
    NoiseScale.SDE: lambda x: x**2,
    NoiseScale.SDE_2: lambda x: x**1.5,
    NoiseScale.SDE_3: lambda x: x**2.5,
    NoiseScale.SDE_4: lambda x: x**0.9 * np.log10(1 + 100 * x**1.5),
    NoiseScale.SDE_5: lambda x: x * (np.exp(x**0.3) + 10),
}


@pytest.mark.paper(79)
@pytest.mark.parametrize("scale", list(PHI), ids=str)
@pytest.mark.parametrize(
    ("quadrature", "nodes", "offset", "tolerance"),
    [(Quadrature.EXACT, 20_000, 0.5, 1e-6), (Quadrature.SUM100, 100, 0.0, 1e-11)],
    ids=["exact", "sum100"],
)
def test_three_terms_are_the_published_update(scale, quadrature, nodes, offset, tolerance):
    """Written out on k = sigma / alpha: integrals by a fine sum, or the published sum of 100."""
    grid = Karras(7.0, 0.3, 8.0, Final.LAST).grid(Linear(), 5)
    draws = list(np.random.default_rng(5).standard_normal((6, 12)))
    found = samples(ERSDE(3, scale, quadrature), grid, MIXTURE, draws, EPS)
    phi, x, past, k = PHI[scale], draws[0], [], grid.sigma / grid.alpha
    left = draws[1:]
    for step in range(5):
        now, after = grid[step], grid[step + 1]
        past.insert(0, MIXTURE.estimates(x, now.alpha, now.sigma)[0])
        r, low, high = phi(k[step + 1]) / phi(k[step]), k[step + 1], k[step]
        x = after.alpha / now.alpha * r * x + after.alpha * (1 - r) * past[0]
        if scale is not NoiseScale.ODE:
            x = x + after.alpha * np.sqrt(low**2 - r**2 * high**2) * left.pop(0)
        width = (high - low) / nodes
        at = low + (np.arange(nodes) + offset) * width
        d = [
            (past[i] - past[i + 1]) / (k[step - i] - k[step - i - 1]) for i in range(len(past) - 1)
        ]
        if d:
            first = low - high + phi(low) * (width / phi(at)).sum()
            x = x + after.alpha * first * d[0]
        if len(d) > 1:
            bend = 2 * (d[0] - d[1]) / (high - k[step - 2])
            second = (high - low) ** 2 / 2
            second += phi(low) * (width * (at - high) / phi(at)).sum()
            x = x + after.alpha * second * bend
    np.testing.assert_allclose(found, x, rtol=0, atol=tolerance)


@pytest.mark.paper(79)
def test_one_term_without_noise_is_ddim_and_negative_variances_are_refused():
    grid = Karras(7.0, 0.3, 8.0).grid(Linear(), 5)
    draws = list(np.random.default_rng(6).standard_normal((6, 12)))
    one = samples(ERSDE(1, NoiseScale.ODE), grid, MIXTURE, draws, EPS)
    np.testing.assert_allclose(one, samples(DDIM(), grid, MIXTURE, draws, EPS), atol=1e-12)
    with pytest.raises(ValueError, match="negative variance"):
        ERSDE(2, NoiseScale.SDE_4).rows(Karras(7.0, 0.1, 3000.0).grid(VE(0.01, 5000.0), 6))

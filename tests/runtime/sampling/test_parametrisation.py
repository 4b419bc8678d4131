"""What raw outputs mean: one 2x2 system for all of them."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.parametrisation import Parametrisation, estimates

FORMULAS = {
    Parametrisation.EPS: lambda x0, eps, alpha, sigma: eps,
    Parametrisation.X0: lambda x0, eps, alpha, sigma: x0,
    Parametrisation.V: lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0,
    Parametrisation.FLOW: lambda x0, eps, alpha, sigma: eps - x0,
    Parametrisation.SCORE: lambda x0, eps, alpha, sigma: -eps / sigma,
}


@pytest.mark.parametrize("parametrisation", list(Parametrisation))
def test_estimates_invert_every_parametrisation(parametrisation):
    rng = np.random.default_rng(len(parametrisation.value))
    for alpha, sigma in rng.uniform(0.05, 2, (50, 2)):
        x0, eps = rng.standard_normal((2, 20))
        x = alpha * x0 + sigma * eps
        raw = FORMULAS[parametrisation](x0, eps, alpha, sigma)
        found = np.array(estimates(parametrisation, alpha, sigma)) @ np.array([x, raw])
        np.testing.assert_allclose(found, [x0, eps], rtol=0, atol=1e-12)


@pytest.mark.parametrize("parametrisation", [Parametrisation.V, Parametrisation.FLOW])
def test_pure_noise_is_an_ordinary_point_for_v_and_flow(parametrisation):
    (d_x, d_raw), (e_x, e_raw) = estimates(parametrisation, 0.0, 1.0)
    x0, eps = 0.3, -1.2
    raw = FORMULAS[parametrisation](x0, eps, 0.0, 1.0)
    assert d_x * eps + d_raw * raw == pytest.approx(x0, abs=1e-15)
    assert e_x * eps + e_raw * raw == pytest.approx(eps, abs=1e-15)


@pytest.mark.parametrize(
    ("parametrisation", "alpha", "sigma"),
    [
        (Parametrisation.EPS, 0.0, 1.0),
        (Parametrisation.SCORE, 0.0, 1.0),
        (Parametrisation.SCORE, 1.0, 0.0),
        (Parametrisation.X0, 1.0, 0.0),
    ],
)
def test_points_that_determine_nothing_are_refused(parametrisation, alpha, sigma):
    with pytest.raises(InvalidTable, match=parametrisation.value):
        estimates(parametrisation, alpha, sigma)

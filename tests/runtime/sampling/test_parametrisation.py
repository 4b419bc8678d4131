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
    Parametrisation.EDM: lambda x0, eps, alpha, sigma: 2 * sigma * x0 - 0.5 * alpha * eps,
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
    ("parametrisation", "alpha", "sigma", "expected"),
    [
        (Parametrisation.EPS, 0.0, 1.0, (None, (0.0, 1.0))),
        (Parametrisation.SCORE, 0.0, 0.5, (None, (0.0, -0.5))),
        (Parametrisation.X0, 1.0, 0.0, ((0.0, 1.0), None)),
        (Parametrisation.X0, 0.0, 0.0, ((0.0, 1.0), None)),
    ],
)
def test_where_not_both_are_determined_the_networks_own_answer_is(
    parametrisation, alpha, sigma, expected
):
    assert estimates(parametrisation, alpha, sigma) == expected


def test_a_score_of_no_noise_is_refused():
    with pytest.raises(InvalidTable, match="the score does not exist"):
        estimates(Parametrisation.SCORE, 1.0, 0.0)


def test_edm_is_the_network_inside_the_preconditioning():
    """D = c_skip x_ve + c_out F of Karras et al., table 1, with x = c_in x_ve."""
    rng = np.random.default_rng(5)
    for level in rng.uniform(0.01, 50.0, 20):
        c_in = 1.0 / np.hypot(level, 0.5)
        c_skip, c_out = 0.25 * c_in**2, 0.5 * level * c_in
        x, raw = rng.standard_normal((2, 8))
        (from_x, from_raw), _ = estimates(Parametrisation.EDM, c_in, level * c_in)
        expected = c_skip * (x / c_in) + c_out * raw
        np.testing.assert_allclose(from_x * x + from_raw * raw, expected, rtol=1e-12, atol=1e-13)

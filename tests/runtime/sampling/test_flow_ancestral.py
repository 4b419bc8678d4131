"""Ancestral steps in t: variances, limits, refusals; its rows stand beside diffusers in parity/."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Gaussian, propagate
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import EulerAncestral, FlowEuler, FlowEulerAncestral

FLOW = Parametrisation.FLOW
GRID = Trailing().grid(Flow(), 8)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_the_noise_of_a_step_is_the_grids(eta):
    """E of variance 1 and the draw together have the level of the next point."""
    rows = FlowEulerAncestral(eta).rows(GRID)
    basis = rows.basis
    noise, draw, clean = (
        int(unit.argmax()) for unit in (basis.noise, basis.draws[0], basis.denoised)
    )
    found = np.hypot(rows.registers[1:, 0, noise], rows.registers[1:, 0, draw])
    np.testing.assert_allclose(found, GRID.sigma[1:], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rows.registers[1:, 0, clean], GRID.alpha[1:], rtol=1e-12)


def test_without_noise_it_is_euler_and_with_it_draws_less_than_the_posterior():
    euler, found = FlowEuler().rows(GRID), FlowEulerAncestral(0.0).rows(GRID)
    ours = fold(found, FLOW, Unguided())
    np.testing.assert_allclose(ours.matrix, fold(euler, FLOW, Unguided()).matrix, atol=1e-15)
    assert ours.draws.tolist() == [1, *[0] * 8]
    draw = int(found.basis.draws[0].argmax())
    less = FlowEulerAncestral().rows(GRID).registers[1:-1, 0, draw]
    full = EulerAncestral().rows(GRID).registers[1:-1, 0, draw]
    assert (less > 0).all()
    assert (less < full).all()


def test_the_variance_on_gaussian_data_converges_to_first_order():
    errors = []
    for steps in (48, 96, 192):
        table = fold(FlowEulerAncestral().rows(Trailing().grid(Flow(), steps)), FLOW, Unguided())
        assert (table.nfe, table.form.registers) == (steps, 1)
        errors.append(abs(propagate(table, [Gaussian(0.3, 0.25)], FLOW).covariance[0, 0] - 0.25))
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 1.0, atol=0.25)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlowEulerAncestral(1.1), "eta 1.1 is outside"),
        (lambda: FlowEulerAncestral(noise_scale=-1.0), "noise_scale -1.0 must be 0 or more"),
        (lambda: FlowEulerAncestral().rows(Trailing().grid(Linear(), 4)), "needs a linear path"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(InvalidInput, match=message):
        build()

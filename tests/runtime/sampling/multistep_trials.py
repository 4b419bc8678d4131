"""What every exponential multistep solver is asked: grids, samples on a mixture, slopes."""

import numpy as np

from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import solve, strong_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Final, Flow, Karras, Linear, Trailing
from tests.runtime.sampling.trials import DATA

ELEMENTS = 16
NOISE = np.random.default_rng(8).standard_normal(2 * ELEMENTS)
STEPS = (48, 96, 192)
EPS, X0, V, FLOW = (Parametrisation(name) for name in ("eps", "x0", "v", "flow"))
VP = Karras(7.0, 0.05, 30.0, Final.LAST).grid(Linear(), 9)
ENDED = Karras(7.0, 0.05, 30.0, Final.ZERO).grid(Linear(), 9)


def even_times(steps):
    """A VP path of linear beta, even in t from 1 to 0.05: its first steps in log SNR are short."""
    t = np.linspace(1.0, 0.05, steps + 1)
    alpha = np.exp(-0.25 * t**2 * 19.9 - 0.05 * t)
    return Grid(alpha, np.sqrt(1.0 - alpha**2), t, 1.0)


def slopes(solver, grids=even_times, steps=STEPS):
    """The order that is measured between the numbers of steps."""
    return strong_errors(solver, grids, DATA, NOISE, steps, fine=800).slopes


def sample(solver, grid, parametrisation=X0, draws=40):
    """The final latent on the mixture, with seeded noise."""
    rng = np.random.default_rng(5)
    noise = [NOISE, *rng.standard_normal((draws, NOISE.size))]
    table = fold(solver.rows(grid), parametrisation, Unguided())
    return solve(table, [DATA], parametrisation, noise).latent


def assert_alike(found, expected, tolerance=1e-12):
    """max|difference| / max|expected|."""
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def assert_sound(solver):
    """Ordinary at alpha = 0 and sigma = 0 in 1, 2, 3 and 7 steps; evaluations counted."""
    for steps in (1, 2, 3, 7):
        grid = Trailing().grid(Flow(shift=2.0), steps)
        assert (grid.alpha[0], grid.sigma[-1]) == (0.0, 0.0)
        table = fold(solver.rows(grid), FLOW, Unguided())
        assert np.isfinite(table.matrix).all()
        assert table.stages == steps * solver.evaluations_per_step
        assert np.isfinite(sample(solver, grid, FLOW)).all()
    one = sample(solver, Trailing().grid(Flow(), 1), FLOW)
    np.testing.assert_allclose(one, DATA.estimates(NOISE, 0.0, 1.0)[0], rtol=1e-13)


def assert_invariant(solver):
    """eps, x0, v and flow networks of one exact denoiser give one sample."""
    for grid in (VP, ENDED):
        samples = [sample(solver, grid, choice) for choice in (X0, EPS, V)]
        for other in samples[1:]:
            assert_alike(other, samples[0])
    flow = Karras(7.0, 0.05, 30.0, Final.LAST).grid(Flow(), 9)
    assert_alike(sample(solver, flow, FLOW), sample(solver, flow, X0))


def registers(solver, steps=12):
    """K on an ordinary grid."""
    return solver.rows(Trailing(Final.LAST).grid(Linear(), steps)).basis.count

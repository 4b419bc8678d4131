"""Registers over raw outputs as rows over D and E."""

import numpy as np
import pytest

from denoisert.export.probe.canonical import Spelling, Start, canonical, clean, draws, merged, mix
from denoisert.export.probe.convention import Convention
from denoisert.export.probe.realisation import Boundary, Realisation
from denoisert.export.probe.source import Marks
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.parametrisation import Parametrisation

EPS, V = Convention(Parametrisation.EPS), Convention(Parametrisation.V)
POINT = Point(0.8, 0.6, 500.0)


def one(noise=(), before=()):
    """x' = 0.5 x + 2 F + noise, one stage, one register."""
    first = Boundary(np.ones((1, 1)), np.zeros(1), np.array([before], float).reshape(1, -1))
    row = Boundary(np.array([[0.5]]), np.array([2.0]), np.array([noise], float).reshape(1, -1))
    return Realisation((first, row), 0.0)


def rows(realisation, at=EPS, start=Start.NOISE, **how):
    return canonical(
        realisation, [Marks(POINT, 1)] * (len(realisation.boundaries) - 1), at, start, **how
    )


def columns(found, row):
    """R_0, D, E, xi_0, xi_1 of the first register."""
    basis = found.basis
    places = [0, basis.count, basis.count + 1, basis.first_draw, basis.first_draw + 1]
    return found.registers[row, 0, places]


def test_an_eps_output_is_the_noise_estimate():
    np.testing.assert_allclose(columns(rows(one()), 1), [0.5, 0, 2, 0, 0])


def test_a_v_output_is_split():
    np.testing.assert_allclose(columns(rows(one(), V), 1), [0.5, -2 * 0.6, 2 * 0.8, 0, 0])


def test_a_negative_output_changes_sign():
    negative = Convention(Parametrisation.V, gain=-1.0)
    np.testing.assert_allclose(columns(rows(one(), negative), 1), [0.5, 1.2, -1.6, 0, 0])
    assert mix(negative, POINT) == (0.6, -0.8)


def test_the_other_spelling_names_no_latent():
    found = rows(one(), spelling=Spelling.ESTIMATES)
    np.testing.assert_allclose(columns(found, 1), [0, 0.5 * 0.8, 0.5 * 0.6 + 2, 0, 0])


def test_the_start_is_noise_or_a_source():
    noise, source = rows(one()), rows(one(), start=Start.SOURCE)
    assert noise.basis.externals == ()
    np.testing.assert_allclose(columns(noise, 0), [0, 0, 0, 1, 0])
    assert source.basis.externals == ("source",)
    assert source.registers[0, 0, source.basis.first_external] == 1.0
    assert source.external_index.tolist() == [[0], [-1]]
    assert (noise.draws.tolist(), source.draws.tolist()) == ([1, 0], [0, 0])


def test_draws_before_the_first_stage_follow_the_start():
    found = rows(one(before=[0.3]))
    np.testing.assert_allclose(columns(found, 0), [0, 0, 0, 1, 0.3])
    assert found.draws.tolist() == [2, 0]
    source = rows(one(before=[0.3, 0.4]), start=Start.SOURCE)
    np.testing.assert_allclose(columns(source, 0), [0, 0, 0, 0.3, 0.4])


def test_two_draws_before_the_first_stage_are_merged_beside_the_start():
    found = rows(one(before=[0.3, 0.4]))
    assert np.abs(columns(found, 0)[3:]) == pytest.approx([1.0, 0.5])
    assert found.draws.tolist() == [2, 0]


def test_zero_gain_draws_are_consumed():
    found = rows(one([0.0]))
    np.testing.assert_allclose(columns(found, 1), [0.5, 0, 2, 0, 0])
    assert found.draws.tolist() == [1, 1]


def test_two_draws_keep_their_order():
    np.testing.assert_allclose(columns(rows(one([0.0, 0.7])), 1)[3:], [0, 0.7])


def test_three_draws_of_one_register_are_one():
    found = rows(one([0.6, 0.48, 0.64]))
    assert abs(columns(found, 1)[3]) == pytest.approx(1.0)
    assert found.draws.tolist() == [1, 1]
    assert merged(one([0.6, 0.48, 0.64]), Start.NOISE)
    assert merged(one(before=[1.0, 1.0]), Start.NOISE)
    assert not merged(one([0.6, 0.48]), Start.NOISE)
    assert not merged(one(before=[1.0, 1.0]), Start.SOURCE)


@pytest.mark.parametrize("drawn", [3, 4, 7])
def test_merged_draws_have_the_same_covariance(drawn):
    rng = np.random.default_rng(drawn)
    noise = rng.standard_normal((4, 2)) @ rng.standard_normal((2, drawn))
    block, consumed = draws(noise, 2)
    assert block.shape == (4, 2)
    assert consumed == 2
    np.testing.assert_allclose(block @ block.T, noise @ noise.T, atol=1e-12)


def test_idle_draws_do_not_count_as_independent():
    noise = np.array([[0.0, 0.3, 0.0, 0.4]])
    block, consumed = draws(noise, 2)
    assert consumed == 2
    np.testing.assert_allclose(block, [[0.3, 0.4]])
    assert draws(np.zeros((1, 5)), 2)[1] == 0


def test_too_many_independent_draws_are_refused():
    with pytest.raises(InvalidTable, match=r"a row has 3 draws, 3 of them independent.*for 2"):
        draws(np.eye(3), 2)


def test_too_many_registers_are_refused():
    wide = Boundary(np.eye(9), np.ones(9), np.zeros((9, 0)))
    first = Boundary(np.ones((9, 1)), np.zeros(9), np.zeros((9, 0)))
    with pytest.raises(InvalidTable, match=r"9 latents must be kept.*holds 8"):
        rows(Realisation((first, wide), 0.0))


def test_points_ends_and_the_bound_are_passed_on():
    bound = Clip(-1.0, 1.0, rederive=True)
    found = rows(one(), bound=bound)
    assert found.points == (POINT,)
    assert found.steps.tolist() == [0, 1]
    assert found.bound is bound


def test_the_clean_estimate_as_the_source_has_it():
    assert clean(EPS, POINT) == pytest.approx((1.25, -0.75))
    assert clean(V, POINT) == pytest.approx((0.8, -0.6))
    assert clean(EPS, Point(0.0, 1.0, 0.0)) == (0.0, 1.0)

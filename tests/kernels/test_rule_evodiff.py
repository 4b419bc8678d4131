"""The EVODiff rule: its scalar program against the release's formula on whole vectors."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.kernels import rule
from denoisert.kernels.gram import reference as gram
from denoisert.kernels.rule import cpu, evodiff, reference

CHANNELS, ELEMENTS = 3, 40
ARGS = np.array([1.4, 0.3, 0.9, 0.55, 0.4, 0.6, 0.35, 10.0])
CARRIED = np.array([[0.9, 0.25, 1.1, 2.0]]).repeat(CHANNELS, 0)


def estimates(kind, seed=0):
    """m_t, m_0, m_1, (3, channels, elements): independent, or as late steps give them."""
    rng = np.random.default_rng([seed, len(kind)])
    values = rng.standard_normal((3, CHANNELS, ELEMENTS))
    if kind == "converging":
        values = values[2] + np.array([1.2e-3, 1e-3, 0.0])[:, None, None] * values[:2].sum(axis=0)
    if kind == "smooth":
        values = values[2] + np.array([0.11, 0.06, 0.0])[:, None, None] * values[0]
        values[0] += 0.01 * rng.standard_normal(values[0].shape)
    if kind == "offset":
        values += np.array([3.0, -2.0, 0.5])[:, None, None]
    return values


def weights_of(values, args=ARGS, carried=CARRIED, kept=None):
    """g of every channel; what is carried on goes to `kept`."""
    newest, newer, oldest = values.reshape(3, -1)
    vectors = np.stack([newest - newer, newer - oldest, newer])
    products, sums = gram.gram(vectors, CHANNELS)
    found, own = np.full((CHANNELS, 3), np.nan), carried.copy()
    cpu.apply(cpu.EVODIFF, products, sums, ELEMENTS, args, carried=own, out=found)
    if kept is not None:
        kept[...] = own
    parts = vectors.reshape(3, CHANNELS, -1)
    return found, np.einsum("cm,mce->ce", found, parts)


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("kind", ["independent", "offset", "smooth", "converging"])
@pytest.mark.parametrize("steps", [10.0, 20.0, 21.0, 50.0])
@pytest.mark.parametrize("h", [0.25, 40.0])
def test_weights_make_what_the_release_makes_of_whole_vectors(kind, steps, h):
    args, carried = ARGS.copy(), CARRIED.copy()
    args[7], carried[:, 1] = steps, h
    for seed in range(3):
        values, kept = estimates(kind, seed), np.empty((CHANNELS, 4))
        _, found = weights_of(values, args, carried, kept)
        for channel in range(CHANNELS):
            wanted, following = reference.evodiff(values[:, channel], args, carried[channel])
            # Differences of 1e-3 leave 1e-13 of a float64; the products square that once.
            assert relative_error(found[channel], wanted) < 1e-11
            np.testing.assert_allclose(kept[channel], following, rtol=1e-12)


def test_every_channel_has_weights_and_scalars_of_its_own():
    values, kept = estimates("independent"), np.empty((CHANNELS, 4))
    carried = CARRIED * np.array([[1.0], [0.5], [2.0]])
    found, _ = weights_of(values, carried=carried, kept=kept)
    for channel in range(CHANNELS):
        same = np.broadcast_to(values[:, channel : channel + 1], values.shape)
        alone, _ = weights_of(same, carried=carried[[channel] * CHANNELS])
        np.testing.assert_allclose(alone[0], found[channel], rtol=1e-13)
    assert len(np.unique(kept[:, 0])) == CHANNELS
    np.testing.assert_array_equal(kept[:, 1:], [[0.3, 0.9, 1.4]] * CHANNELS)


@pytest.mark.parametrize("steps", [10.0, 30.0])
def test_the_two_branches_differ_in_the_step_that_ends(steps):
    values = estimates("independent")
    args = ARGS.copy()
    args[7] = steps
    begun = args * np.array([1, 0, 1, 1, 1, 1, 1, 1])
    _, found = weights_of(values, begun)
    other = begun.copy()
    other[7] = 40.0 - steps
    assert relative_error(weights_of(values, other)[1], found) > 1e-2


def test_a_first_row_only_begins():
    """Nothing is carried: G is the probe's share along D', whatever m_1 is."""
    values, nothing = estimates("smooth"), np.zeros((CHANNELS, 4))
    found, guided = weights_of(values, carried=nothing)
    assert not found[:, 1].any()
    newest, newer, _ = values
    r = [
        ARGS[3] + ARGS[4] * np.clip(a @ b / (b @ b), -2, 2)
        for a, b in zip(newest, newer, strict=True)
    ]
    r = np.array(r)[:, None]
    r_i = ARGS[2] / (1 + np.exp(-r / 4))
    np.testing.assert_allclose(guided, 0.5 * 1.4 * 0.3 / r_i * (newest - r * newer), rtol=1e-12)


def test_a_last_row_only_ends():
    values, args = estimates("smooth"), ARGS.copy()
    args[1] = 0.0
    _, both = weights_of(values)
    _, ended = weights_of(values, args)
    _, begun = weights_of(values, carried=np.zeros((CHANNELS, 4)))
    np.testing.assert_allclose(ended + begun, both, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("steps", [10.0, 30.0])
def test_estimates_without_norm_or_change_give_finite_weights(steps):
    """0 / 0 of D_1 = 0, of Q = P, of m_0 = m_1 and of m_0 = 0 counts as 0."""
    args = np.array([1.0, 0.5, 1.0, 0.0, 1.0, 0.0, 1.0, steps])  # r_2 = r' = c
    same = np.array([[1.0, 0.5, 1.0, 2.0]]).repeat(CHANNELS, 0)
    flat = np.ones((3, CHANNELS, ELEMENTS))
    for values in (flat, 0.0 * flat, flat * np.array([1.0, 0.0, 0.0])[:, None, None]):
        with np.errstate(all="raise"):
            found, guided = weights_of(values, args, same)
        wanted = [reference.evodiff(values[:, c], args, same[c])[0] for c in range(CHANNELS)]
        assert np.isfinite(found).all()
        np.testing.assert_allclose(guided, wanted, atol=1e-15)
    assert not weights_of(0.0 * flat, args, same)[1].any()


def test_above_20_steps_a_change_that_nearly_vanishes_has_no_bound():
    """As in the release: D_1 of size e makes 1 / zeta exp(2 / k); up to 20 steps it is below 3."""
    rng, args, carried = np.random.default_rng(3), ARGS.copy(), CARRIED.copy()
    carried[:, :2] = 1.0, 0.02
    newer = rng.standard_normal((CHANNELS, ELEMENTS))
    values = np.stack([2.0 * newer, newer, newer * (1 + 1e-7 * rng.standard_normal(newer.shape))])
    few, _ = weights_of(values, args, carried)
    args[7] = 21.0
    many, guided = weights_of(values, args, carried)
    assert np.abs(few).max() < 3
    assert np.abs(many).max() > 1e10
    for channel in range(CHANNELS):
        wanted, _ = reference.evodiff(values[:, channel], args, carried[channel])
        assert relative_error(guided[channel], wanted) < 1e-5
    carried[:, 1] = 1e-4
    assert not np.isfinite(weights_of(values, args, carried)[0]).all()


def test_projections_are_clipped():
    """m_t = 5 m_0 counts as 2 m_0, m_t = -5 m_0 as -2 m_0."""
    for factor, limit in ((5.0, 2.0), (-5.0, -2.0)):
        values, kept = estimates("independent"), np.empty((CHANNELS, 4))
        values[0] = factor * values[1]
        weights_of(values, kept=kept)
        np.testing.assert_allclose(kept[:, 0], ARGS[3] + ARGS[4] * limit, rtol=1e-12)


def test_the_rule_weighs_by_channel_and_the_others_by_slot():
    assert rule.PER_CHANNEL[cpu.EVODIFF]
    assert not any(rule.PER_CHANNEL[: cpu.EVODIFF])
    assert len(rule.PER_CHANNEL) == len(rule.RULES)
    assert rule.VECTORS[cpu.EVODIFF] == evodiff.VECTORS == 3

"""Guidance rules: the paper's formula on vectors against the scalar program on their products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.guiders.guider_utils import rescale_noise_cfg

from denoisert.kernels import rule
from denoisert.kernels.gram import reference as gram
from denoisert.kernels.rule import cfg_rescale, cpu, langevin, reference

CARRIED = np.zeros((1, 4))


def pair(kind, elements=(4, 9, 7), seed=0):
    """Cond and uncond in float64, independent or as a trained network would give them."""
    generator = np.random.default_rng([seed, len(kind)])
    cond, uncond = generator.standard_normal((2, *elements))
    if kind == "near-parallel":
        uncond = cond + 1e-5 * uncond
    if kind == "equal":
        uncond = cond.copy()
    if kind == "offset":
        cond, uncond = cond + 3.0, uncond - 2.0
    if kind == "opposite":
        uncond = -cond + 0.1 * uncond
    return cond, uncond


def combined(cond, uncond, scale, phi, channels=1):
    """What a table row does with the weights: sum_m g_m V_m, per channel."""
    vectors = np.stack([cond.ravel(), uncond.ravel()])
    products, sums = gram.gram(vectors, channels)
    count = vectors.shape[1] // channels
    weights = np.full((channels, 2), np.nan)
    args = np.array([scale, phi, *(np.nan,) * 6])
    carried = np.zeros((channels, 4))
    cpu.apply(cpu.CFG_RESCALE, products, sums, count, args, carried=carried, out=weights)
    parts = vectors.reshape(2, channels, count)
    return np.einsum("cm,mcx->cx", weights, parts).reshape(cond.shape)


def from_diffusers(cond, uncond, scale, phi):
    text = torch.from_numpy(cond)[None]
    guided = torch.from_numpy(uncond + scale * (cond - uncond))[None]
    return rescale_noise_cfg(guided, text, guidance_rescale=phi)[0].numpy()


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("kind", ["independent", "near-parallel", "equal", "offset", "opposite"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1.5, 7.5, -2.0])
@pytest.mark.parametrize("phi", [0.0, 0.3, 0.7, 1.0])
def test_rescale_equals_diffusers(kind, scale, phi):
    cond, uncond = pair(kind)
    expected = from_diffusers(cond, uncond, scale, phi)
    direct = reference.cfg_rescale(cond, uncond, scale, phi)
    assert relative_error(direct, expected) < 1e-12
    assert relative_error(combined(cond, uncond, scale, phi), expected) < 1e-12


@pytest.mark.parametrize("elements", [(2,), (3,), (1, 16, 16), (4, 32, 32), (997,)])
def test_rescale_equals_diffusers_for_any_shape(elements):
    for seed in range(3):
        cond, uncond = pair("independent", elements, seed)
        expected = from_diffusers(cond, uncond, 5.0, 0.7)
        assert relative_error(combined(cond, uncond, 5.0, 0.7), expected) < 1e-12


def test_rescale_of_channels_treats_each_alone():
    cond, uncond = pair("offset", (3, 40))
    cond[1] *= 10
    found = combined(cond, uncond, 6.0, 0.8, channels=3)
    for channel in range(3):
        expected = from_diffusers(cond[channel], uncond[channel], 6.0, 0.8)
        assert relative_error(found[channel], expected) < 1e-12
    assert relative_error(found, from_diffusers(cond, uncond, 6.0, 0.8)) > 1e-2


def test_full_rescale_has_the_spread_of_cond():
    cond, uncond = pair("independent")
    assert combined(cond, uncond, 9.0, 1.0).std() == pytest.approx(cond.std(), rel=1e-12)
    assert combined(cond, uncond, 9.0, 0.0).std() > 5 * cond.std()


def test_scale_one_returns_cond_bit_for_bit():
    cond, uncond = pair("independent")
    for phi in (0.0, 0.5, 1.0):
        assert np.array_equal(combined(cond, uncond, 1.0, phi), cond)


@pytest.mark.parametrize("value", [0.0, 3.7, -1e5, 1e-20])
@pytest.mark.parametrize("scale", [1.0, 4.0, -3.3])
def test_without_spread_the_ratio_is_one(value, scale):
    for count in (2, 501, 1000, 4099):
        cond, uncond = np.full(count, value), np.full(count, 0.9 - 0.4 * value)
        expected = uncond + scale * (cond - uncond)
        error = np.abs(combined(cond, uncond, scale, 1.0) - expected).max()
        assert error <= 1e-14 * (abs(value) + 1)
    assert np.array_equal(reference.cfg_rescale(np.zeros(9), np.zeros(9), scale, 1.0), np.zeros(9))


def test_a_channel_without_spread_leaves_the_others_alone():
    cond, uncond = pair("independent", (3, 40))
    cond[1], uncond[1] = 2.0, 0.5
    found = combined(cond, uncond, 4.0, 0.5, channels=3)
    assert found[1] == pytest.approx(0.5 + 4.0 * 1.5, rel=1e-12)
    for channel in (0, 2):
        expected = from_diffusers(cond[channel], uncond[channel], 4.0, 0.5)
        assert relative_error(found[channel], expected) < 1e-12


def test_a_guided_vector_that_vanishes_takes_the_ratio_one():
    cond, _ = pair("independent")
    weights = np.empty((1, 2))
    products, sums = gram.gram(np.stack([cond.ravel(), 2 * cond.ravel()]))
    cpu.apply(1, products, sums, cond.size, [2.0, 1.0], carried=CARRIED, out=weights)
    assert np.array_equal(weights, [[2.0, -1.0]])


def test_weights_ignore_the_size_of_the_vectors():
    cond, uncond = pair("offset")
    for factor in (1e-8, 1e8):
        found = combined(factor * cond, factor * uncond, 3.0, 0.6) / factor
        assert relative_error(found, combined(cond, uncond, 3.0, 0.6)) < 1e-12


def test_the_program_changes_none_of_its_inputs():
    cond, uncond = pair("independent")
    products, sums = gram.gram(np.stack([cond.ravel(), uncond.ravel()]))
    carried = np.arange(4.0)[None]
    before = products.copy(), sums.copy(), carried.copy()
    cfg_rescale.cfg_rescale(products, sums, cond.size, [7.5, 0.7], carried)
    for one, other in zip((products, sums, carried), before, strict=True):
        assert np.array_equal(one, other)


def test_apply_writes_the_weights_of_a_float32_row():
    cond, uncond = pair("independent")
    products, sums = gram.gram(np.stack([cond.ravel(), uncond.ravel()]))
    wide = cfg_rescale.cfg_rescale(products, sums, cond.size, [7.5, 0.7], CARRIED)
    narrow = np.full((1, 2), np.nan, dtype=np.float32)
    cpu.apply(1, products, sums, cond.size, [7.5, 0.7], carried=CARRIED, out=narrow)
    assert np.array_equal(narrow, wide.astype(np.float32))


def stepped(score, noise, ratio, factor, channels=1):
    """What a row does with the weights of a Langevin step."""
    vectors = np.stack([score.ravel(), noise.ravel()])
    products, sums = gram.gram(vectors, channels)
    weights, carried = np.full((channels, 2), np.nan), np.zeros((channels, 4))
    count = vectors.shape[1] // channels
    args = [ratio, factor, *(np.nan,) * 6]
    cpu.apply(cpu.LANGEVIN, products, sums, count, args, carried=carried, out=weights)
    parts = vectors.reshape(2, channels, count)
    return np.einsum("cm,mcx->cx", weights, parts).reshape(score.shape)


@pytest.mark.parametrize("elements", [(1,), (3,), (4, 9, 7), (997,)])
@pytest.mark.parametrize(("ratio", "factor"), [(0.16, 1.0), (0.01, 0.98), (1.5, 0.2)])
def test_a_langevin_step_is_that_of_whole_vectors(elements, ratio, factor):
    for seed in range(3):
        score, noise = pair("offset", elements, seed)
        direct = reference.langevin(score.ravel(), noise.ravel(), ratio, factor)
        assert relative_error(stepped(score, noise, ratio, factor).ravel(), direct) < 1e-12


def test_a_langevin_step_balances_its_parts():
    """The noise part is 1 / (sqrt(factor) ratio) times the score part, whatever the score."""
    score, noise = pair("independent")
    for size in (1e-6, 1.0, 1e6):
        step = stepped(size * score, noise, 0.16, 0.9)
        gain = 2 * 0.9 * (0.16 * np.linalg.norm(noise) / np.linalg.norm(size * score)) ** 2
        ratio = np.linalg.norm(np.sqrt(2 * gain) * noise) / np.linalg.norm(gain * size * score)
        assert ratio == pytest.approx(1 / (0.16 * np.sqrt(0.9)), rel=1e-12)
        np.testing.assert_allclose(step, gain * size * score + np.sqrt(2 * gain) * noise)


def test_a_score_of_nothing_gives_no_step():
    noise = pair("independent")[1]
    assert not stepped(np.zeros_like(noise), noise, 0.16, 1.0).any()
    assert not reference.langevin(np.zeros(5), np.ones(5), 0.16, 1.0).any()
    per_channel = stepped(np.stack([np.zeros(8), np.ones(8)]), np.ones((2, 8)), 0.5, 1.0, 2)
    assert not per_channel[0].any()
    assert per_channel[1].all()


def test_every_rule_has_a_number_and_its_vectors():
    assert rule.RULES[0] is None
    assert rule.RULES[cpu.LANGEVIN] is langevin.langevin
    assert rule.RULES[cpu.CFG_RESCALE] is cfg_rescale.cfg_rescale
    assert len(rule.RULES) == len(rule.VECTORS)
    assert rule.VECTORS[0] == 0
    assert all(1 <= count <= 4 for count in rule.VECTORS[1:])


@pytest.mark.parametrize("number", [-1, 0, len(rule.RULES)])
def test_a_number_without_a_program_is_refused(number):
    with pytest.raises(ValueError, match="has no program"):
        cpu.apply(
            number,
            np.eye(2)[None],
            np.zeros((1, 2)),
            2,
            [1, 0],
            carried=CARRIED,
            out=np.zeros((1, 2)),
        )


@pytest.mark.parametrize("count", [1, 3])
def test_products_of_another_number_of_vectors_are_refused(count):
    products, sums = np.eye(count)[None], np.zeros((1, count))
    with pytest.raises(ValueError, match="takes 2 vectors"):
        cpu.apply(1, products, sums, 2, [1, 0], carried=CARRIED, out=np.zeros((1, 2)))

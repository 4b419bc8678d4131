"""Weights of rule vectors and pointwise operations, each against its plainest form."""

import numpy as np
import pytest

from denoisert.kernels.step import cpu, reference
from denoisert.kernels.step.row import Operation

OPERATIONS = [
    (Operation.NONE, 0.0, 0.0),
    (Operation.CLIP, -0.8, 0.6),
    (Operation.DYNAMIC_THRESHOLD, 0.9, 2.0),
    (Operation.REFLECT, -0.7, 0.9),
    (Operation.EXP_HALF, 0.0, 0.0),
]
ELEMENTS = 24


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_weights_apply_per_channel(channels):
    rng = np.random.default_rng(channels)
    vectors, weights = rng.standard_normal((3, ELEMENTS)), rng.standard_normal((channels, 3))
    expected = np.concatenate(
        [
            sum(weights[c, m] * vectors[m].reshape(channels, -1)[c] for m in range(3))
            for c in range(channels)
        ]
    )
    np.testing.assert_allclose(reference.guide(vectors, weights), expected, rtol=0, atol=1e-14)
    out = np.full(ELEMENTS, np.nan)
    assert cpu.guide(vectors, weights, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.3, 0.7), (2.0, 2.5)])
def test_reflect_is_a_sawtooth_for_any_distance(low, high, dtype):
    near = np.linspace(low - 3 * (high - low), high + 3 * (high - low), 601)
    values = np.concatenate([near, near * 50, [low, high]]).astype(dtype)
    operation = (Operation.REFLECT, low, high)
    expected = values.astype(np.float64)
    while (expected < low).any() or (expected > high).any():
        expected = np.where(expected > high, 2 * high - expected, expected)
        expected = np.where(expected < low, 2 * low - expected, expected)
    ulp = np.finfo(dtype).eps * np.abs(values).max()
    for found in (
        reference.operate(values, operation, 0.0),
        cpu.operate(values.copy(), operation, 0.0, out=np.empty_like(values)),
    ):
        assert found.dtype == dtype
        assert np.abs(found - expected).max() <= 4 * ulp
        edge = 2 * np.finfo(dtype).eps * max(abs(low), abs(high))
        assert found.min() >= low - edge
        assert found.max() <= high + edge


@pytest.mark.parametrize("threshold", [0.2, 1.0, 1.7, 9.0])
def test_dynamic_threshold_stays_between_one_and_the_maximum(threshold):
    values = np.linspace(-12, 12, ELEMENTS)
    operation = (Operation.DYNAMIC_THRESHOLD, 0.995, 3.0)
    limit = min(max(threshold, 1.0), 3.0)
    expected = np.minimum(np.maximum(values / limit, -1), 1)
    np.testing.assert_allclose(
        reference.operate(values, operation, threshold), expected, rtol=1e-15
    )
    out = values.copy()
    np.testing.assert_allclose(
        cpu.operate(out, operation, threshold, out=out), expected, rtol=1e-15
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_leave_their_argument_alone_unless_asked(operation):
    values = np.random.default_rng(1).standard_normal(ELEMENTS)
    before, out = values.copy(), np.full(ELEMENTS, np.nan)
    found = cpu.operate(values, operation, 1.1, out=out)
    truth = reference.operate(values, operation, 1.1)
    np.testing.assert_array_equal(values, before)
    assert found is out
    assert truth is not values
    np.testing.assert_allclose(found, truth, rtol=1e-15)
    np.testing.assert_allclose(cpu.operate(values, operation, 1.1, out=values), truth, rtol=1e-15)

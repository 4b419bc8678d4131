"""Products and sums of vectors: against exact sums, per channel, in every type, block by block."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from denoisert.kernels.gram import cpu, reference

BLOCK = cpu.BLOCK
SIZES = [1, 2, 31, 256, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17]


def vectors_of(count, elements, dtype=np.float32, seed=0):
    generator = np.random.default_rng([seed, count, elements])
    return (generator.standard_normal((count, elements)) + 0.3).astype(dtype)


def on_cpu(vectors, channels=1):
    count = len(vectors)
    products = np.full((max(channels, 1), count, count), np.nan)
    sums = np.full((max(channels, 1), count), np.nan)
    cpu.gram(vectors, channels, out=(products, sums), workspace=cpu.workspace(count))
    return products, sums


def exact(vectors, channels):
    """Correctly rounded sums of the float64 products, term by term."""
    wide = vectors.astype(np.float64).reshape(len(vectors), channels, -1)
    products = [
        [[math.fsum(one[c] * other[c]) for other in wide] for one in wide] for c in range(channels)
    ]
    sums = [[math.fsum(one[c]) for one in wide] for c in range(channels)]
    return np.array(products), np.array(sums)


def assert_near(found, expected, vectors):
    """Equal within the rounding of n additions, relative to the largest sum of magnitudes."""
    bound = 1e-14 * float(np.sum(np.abs(vectors.astype(np.float64)) ** 2 + np.abs(vectors)))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=0, atol=bound)


@pytest.mark.parametrize("elements", SIZES)
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_gram_equals_the_exact_sums(op, count, elements):
    vectors = vectors_of(count, elements)
    assert_near(op(vectors), exact(vectors, 1), vectors)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 5, 64, BLOCK + 3])
@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_gram_of_channels_equals_the_exact_sums(op, channels, size):
    vectors = vectors_of(3, channels * size)
    assert_near(op(vectors, channels), exact(vectors, channels), vectors)


@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_a_channel_is_the_gram_of_its_own_elements(op):
    vectors = vectors_of(2, 4 * 50)
    products, sums = op(vectors, 4)
    for channel in range(4):
        own = op(np.ascontiguousarray(vectors[:, 50 * channel : 50 * channel + 50]))
        assert np.array_equal(products[channel], own[0][0])
        assert np.array_equal(sums[channel], own[1][0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_every_type_accumulates_in_float64(op, dtype):
    vectors = vectors_of(2, 3000, dtype)
    assert_near(op(vectors), exact(vectors, 1), vectors)


@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_small_terms_survive_a_large_one(op):
    vectors = np.full((1, 10_001), 1e-3, dtype=np.float32)
    vectors[0, 0] = 1e4  # its square swallows every 1e-6 in float32
    products, _ = op(vectors)
    small = float(np.float32(1e-3)) ** 2
    assert products[0, 0, 0] == pytest.approx(1e8 + 10_000 * small, rel=1e-12)
    assert products[0, 0, 0] - 1e8 == pytest.approx(10_000 * small, rel=1e-3)


@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_permuting_the_vectors_permutes_the_result(op):
    vectors = vectors_of(4, 777)
    order = np.array([2, 0, 3, 1])
    products, sums = op(vectors)
    permuted = op(vectors[order])
    np.testing.assert_allclose(permuted[0][0], products[0][np.ix_(order, order)], rtol=1e-13)
    np.testing.assert_allclose(permuted[1][0], sums[0][order], rtol=1e-13)


def test_products_are_symmetric_and_repeat_bit_for_bit():
    vectors = vectors_of(4, 2 * BLOCK + 5)
    products, sums = on_cpu(vectors)
    assert np.array_equal(products, products.transpose(0, 2, 1))
    for shift in (1, 3):  # another place in memory, another alignment
        store = np.zeros(vectors.size + shift, dtype=np.float32)
        moved = store[shift:].reshape(vectors.shape)
        moved[...] = vectors
        again = on_cpu(moved)
        assert np.array_equal(again[0], products)
        assert np.array_equal(again[1], sums)


def test_cpu_reads_strided_vectors():
    store = vectors_of(6, 500)
    assert np.array_equal(on_cpu(store[::3])[0], on_cpu(store[::3].copy())[0])


def test_a_workspace_serves_any_length_after_any_other():
    space = cpu.workspace(2)
    for elements in (BLOCK + 9, 10, 3 * BLOCK, 1):
        vectors = vectors_of(2, elements)
        out = np.full((1, 2, 2), np.nan), np.full((1, 2), np.nan)
        space.part.fill(np.nan)
        space.total.fill(np.nan)
        space.block[:2].fill(np.nan)
        cpu.gram(vectors, out=out, workspace=space)
        expected = on_cpu(vectors)
        assert np.array_equal(out[0], expected[0])
        assert np.array_equal(out[1], expected[1])


def test_a_value_that_is_not_finite_stays_in_its_own_channel():
    vectors = vectors_of(2, 30)
    vectors[1, 12] = np.inf
    products, sums = on_cpu(vectors, 3)
    assert np.isfinite(products[[0, 2]]).all()
    assert np.isfinite(sums[[0, 2]]).all()
    assert np.isinf(sums[1, 1])
    assert np.isfinite(products[1, 0, 0])


def test_cpu_allocates_nothing_of_a_latents_size():
    vectors, space = vectors_of(2, 1 << 15), cpu.workspace(2)
    out = np.zeros((4, 2, 2)), np.zeros((4, 2))
    cpu.gram(vectors, 4, out=out, workspace=space)
    tracemalloc.start()
    cpu.gram(vectors, 4, out=out, workspace=space)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096  # views


@pytest.mark.parametrize("channels", [0, -1, 3, 11])
@pytest.mark.parametrize("op", [reference.gram, on_cpu])
def test_elements_that_do_not_split_into_channels_are_refused(op, channels):
    with pytest.raises(ValueError, match="equal channels"):
        op(vectors_of(2, 10), channels)


@pytest.mark.parametrize(
    ("products", "sums", "held"),
    [
        ((1, 2, 3), (1, 2), 2),
        ((2, 2, 2), (1, 2), 2),
        ((1, 2, 2), (1, 3), 2),
        ((1, 2, 2), (1, 2), 3),
    ],
)
def test_an_out_or_workspace_of_another_size_is_refused(products, sums, held):
    out = np.zeros(products), np.zeros(sums)
    with pytest.raises(ValueError, match="do not fit"):
        cpu.gram(vectors_of(2, 10), out=out, workspace=cpu.workspace(held))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_narrowed_workspace_gives_the_same_bits(count):
    """Its buffer is the head of a larger one, which other numbers of vectors have used before."""
    vectors = np.random.default_rng(count).standard_normal((4, 9000)).astype(np.float32)
    shared = cpu.workspace(4)
    cpu.gram(vectors, out=(np.zeros((1, 4, 4)), np.zeros((1, 4))), workspace=shared)
    found, wanted = [(np.zeros((1, count, count)), np.zeros((1, count))) for _ in range(2)]
    cpu.gram(vectors[:count], out=found, workspace=cpu.narrowed(shared, count))
    cpu.gram(vectors[:count], out=wanted, workspace=cpu.workspace(count))
    assert np.array_equal(found[0], wanted[0])
    assert np.array_equal(found[1], wanted[1])

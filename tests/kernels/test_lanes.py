"""Lanes: every lane is its source row, scaled, whatever the map, the shape and the type."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from denoisert.kernels.lanes import cpu, reference

SHAPES = [(1,), (7,), (256,), (4, 3, 5), ()]
FLOATS = [np.float16, np.float32, np.float64]


def case(rows, lanes, shape, dtype=np.float32, seed=0):
    """A source, a lane map that repeats and skips rows, and one scale a lane."""
    generator = np.random.default_rng([seed, rows, lanes, len(shape)])
    source = (100 * generator.standard_normal((rows, *shape))).astype(dtype)
    index = generator.integers(rows, size=lanes)
    return source, index, generator.uniform(0.1, 2, lanes)


def on_cpu(source, index, scale=None):
    shape = (index.size, *source.shape[1:])
    poison = np.full(shape, 99).astype(source.dtype)
    cpu.gather(source, index, scale, out=poison)
    return poison


OPS = pytest.mark.parametrize("op", [reference.gather, on_cpu])


@OPS
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("rows", "lanes"), [(1, 1), (1, 5), (4, 8), (8, 4), (5, 13), (3, 0)])
def test_every_lane_is_its_row(op, rows, lanes, shape):
    source, index, _ = case(rows, lanes, shape)
    found = op(source, index)
    assert found.shape == (lanes, *shape)
    for lane, row in enumerate(index):
        assert np.array_equal(found[lane], source[row])


@OPS
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_lane_is_its_row_times_its_scale(op, shape, dtype):
    source, index, scale = case(6, 9, shape, dtype)
    found = op(source, index, scale)
    assert found.dtype == dtype
    for lane, row in enumerate(index):
        expected = source[row] * scale.astype(dtype)[lane]
        assert np.array_equal(found[lane], expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_cpu_equals_the_reference_bit_for_bit(seed, shape, dtype):
    source, index, scale = case(5, 7, shape, dtype, seed)
    for factors in (None, scale, scale.astype(dtype)):
        expected = reference.gather(source, index, factors)
        assert np.array_equal(on_cpu(source, index, factors), expected)


@OPS
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float64, np.complex64])
def test_any_type_is_copied_bit_for_bit(op, dtype):
    source, index, _ = case(6, 9, (5,), np.float32)
    source = source.astype(dtype)
    found = op(source, index)
    assert found.dtype == dtype
    assert found.tobytes() == np.stack([source[row] for row in index]).tobytes()


@OPS
def test_what_is_not_finite_stays_in_its_row(op):
    source = np.array([[1, 2], [np.nan, np.inf], [-0.0, 3]], dtype=np.float32)
    found = op(source, np.array([0, 2, 1, 0]), np.array([1.0, 1, 1, 2]))
    assert found[[0, 1, 3]].tolist() == [[1, 2], [0, 3], [2, 4]]
    assert np.signbit(found[1, 0])
    assert np.isnan(found[2, 0])
    assert np.isinf(found[2, 1])


@OPS
def test_the_identity_and_a_permutation(op):
    source, _, _ = case(8, 8, (6,))
    order = np.random.default_rng(4).permutation(8)
    assert np.array_equal(op(source, np.arange(8)), source)
    assert np.array_equal(op(op(source, order), np.argsort(order)), source)


@OPS
def test_gathering_twice_is_gathering_once_through_both_maps(op):
    source, first, _ = case(5, 9, (4,))
    second = np.random.default_rng(6).integers(9, size=12)
    assert np.array_equal(op(op(source, first), second), op(source, first[second]))


@OPS
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.intp, np.uint8])
def test_any_integer_type_names_a_row(op, kind):
    source, index, _ = case(5, 9, (4,))
    assert np.array_equal(op(source, index.astype(kind)), op(source, index))


@OPS
def test_the_source_stays_as_it_was(op):
    source, index, scale = case(5, 9, (4,))
    before = source.copy()
    op(source, index, scale)[...] = 0
    assert np.array_equal(source, before)


def test_cpu_writes_into_strided_lanes_and_reads_strided_rows():
    source, index, scale = case(10, 6, (8,))
    store = np.zeros((6, 2, 8), dtype=np.float32)
    index = index // 2
    cpu.gather(source[::2], index, scale, out=store[:, 1])
    assert np.array_equal(store[:, 1], reference.gather(source[::2].copy(), index, scale))
    assert not store[:, 0].any()


def test_cpu_allocates_nothing_of_a_latents_size():
    source, index, scale = case(4, 8, (1 << 13,))
    out = np.zeros((8, 1 << 13), dtype=np.float32)
    cpu.gather(source, index, scale, out=out)
    tracemalloc.start()
    cpu.gather(source, index, scale, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096


@OPS
@pytest.mark.parametrize("bad", [-1, -5, 5, 2**31])
def test_an_index_outside_the_source_is_refused(op, bad):
    source, index, _ = case(5, 9, (4,))
    index[6] = bad
    with pytest.raises(ValueError, match="the source has 5 rows"):
        op(source, index)


@OPS
def test_scaling_integers_is_refused(op):
    with pytest.raises(ValueError, match="take one scale a lane and a float type"):
        op(np.arange(6).reshape(3, 2), np.array([0, 1]), np.array([1.0, 2.0]))


@OPS
@pytest.mark.parametrize("count", [1, 8, 10])
def test_another_number_of_scales_is_refused(op, count):
    source, index, _ = case(5, 9, (4,))
    with pytest.raises(ValueError, match="take one scale a lane"):
        op(source, index, np.ones(count))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 4), np.float32), ((9, 5), np.float32), ((9, 4), np.float64)]
)
def test_an_out_of_another_shape_or_type_is_refused(shape, dtype):
    source, index, _ = case(5, 9, (4,))
    with pytest.raises(ValueError, match="do not fit out"):
        cpu.gather(source, index, out=np.zeros(shape, dtype=dtype))

"""The quantile of absolute values: against torch and NumPy, by selection and by sorting."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from denoisert.kernels.quantile import cpu, reference

COUNTS = [1, 2, 3, 7, 64, 97, 256, 1009, 4096, 16_384]
QUANTILES = [0.0, 0.005, 0.25, 1 / 3, 0.5, 0.9, 0.995, 1.0]
KINDS = ["normal", "ties", "equal", "wide"]


def values_of(kind, count, dtype=np.float32):
    generator = np.random.default_rng([len(kind), count])
    values = generator.standard_normal(count)
    if kind == "ties":
        values = np.round(values)
    if kind == "equal":
        values = np.full(count, -1.25)
    if kind == "wide":
        values = np.exp(8 * values) * generator.choice([-1, 1], count)
    return values.astype(dtype)


def on_cpu(values, q):
    return cpu.quantile(values, q, workspace=cpu.workspace(values.size, values.dtype))


def from_torch(values, q):
    return float(torch.quantile(torch.from_numpy(values).abs(), q))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("q", QUANTILES)
@pytest.mark.parametrize("count", COUNTS)
def test_quantile_equals_torch(count, q, dtype):
    for kind in KINDS:
        values = values_of(kind, count, dtype)
        expected = from_torch(values, q)
        for op in (reference.quantile, on_cpu):
            # One unit in the last place: torch may fuse the product with the sum.
            assert abs(op(values, q) - expected) <= np.spacing(dtype(expected))


@pytest.mark.parametrize("q", QUANTILES)
@pytest.mark.parametrize("count", COUNTS)
def test_float64_quantile_equals_numpy(count, q):
    for kind in KINDS:
        values = values_of(kind, count, np.float64)
        expected = np.quantile(np.abs(values), q)
        assert reference.quantile(values, q) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("q", QUANTILES)
@pytest.mark.parametrize("count", [*COUNTS, 2053])
def test_selection_equals_sorting_bit_for_bit(count, q):
    for kind in KINDS:
        values = values_of(kind, count)
        assert on_cpu(values, q) == reference.quantile(values, q)


def test_selection_finds_every_pair_of_neighbours():
    values = values_of("normal", 701)
    ordered = np.sort(np.abs(values)).astype(np.float64)
    space = cpu.workspace(701)
    for rank in range(700):
        expected = (ordered[rank] + ordered[rank + 1]) / 2
        found = cpu.quantile(values, (rank + 0.5) / 700, workspace=space)
        assert found == pytest.approx(
            expected, rel=0.01 * (ordered[rank + 1] - ordered[rank]) + 1e-6
        )


def test_interpolation_between_two_values():
    values = np.array([-4.0, 1.0, 2.0])  # |values| sorted: 1, 2, 4
    for op in (reference.quantile, on_cpu):
        assert [op(values, q) for q in (0, 0.25, 0.5, 0.75, 1)] == [1.0, 1.5, 2.0, 3.0, 4.0]


def test_the_sign_and_the_order_of_the_values_do_not_matter():
    generator = np.random.default_rng(8)
    values = values_of("normal", 500)
    expected = on_cpu(values, 0.9)
    assert on_cpu(-values, 0.9) == expected
    assert on_cpu(generator.permutation(values), 0.9) == expected


def test_the_quantile_grows_with_q_between_the_extremes():
    values = values_of("wide", 300)
    found = [on_cpu(values, q) for q in np.linspace(0, 1, 101)]
    assert found == sorted(found)
    assert found[0] == np.abs(values).min()
    assert found[-1] == np.abs(values).max()


def test_the_result_is_a_python_float_and_the_values_stay():
    values = values_of("normal", 50)
    before = values.copy()
    for op in (reference.quantile, on_cpu):
        assert type(op(values, 0.995)) is float
        assert np.array_equal(values, before)


@pytest.mark.parametrize("place", [0, 5, 9])
@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_a_value_that_is_not_a_number_makes_the_quantile_none(place, q):
    values = values_of("normal", 10)
    values[place] = np.nan
    assert np.isnan(from_torch(values, q))
    for op in (reference.quantile, on_cpu):
        assert np.isnan(op(values, q))


def test_infinite_values_stand_at_the_upper_end():
    values = values_of("normal", 10)
    values[3] = -np.inf
    for op in (reference.quantile, on_cpu):
        assert [op(values, q) for q in (0.9, 0.96, 1.0)] == [np.inf] * 3
        assert op(values, 8 / 9) == op(values[np.isfinite(values)], 1.0)
        assert op(values, 0.5) == from_torch(values, 0.5)


def test_a_larger_workspace_and_its_old_content_do_not_matter():
    space = cpu.workspace(100)
    for count in (100, 40, 1):
        space.fill(np.nan)
        values = values_of("normal", count)
        assert cpu.quantile(values, 0.7, workspace=space) == reference.quantile(values, 0.7)


def test_cpu_reads_strided_values():
    values = values_of("normal", 300)[::3]
    assert on_cpu(values, 0.8) == reference.quantile(values.copy(), 0.8)


def test_cpu_allocates_nothing_of_a_latents_size():
    values, space = values_of("normal", 1 << 15), cpu.workspace(1 << 15)
    cpu.quantile(values, 0.995, workspace=space)
    tracemalloc.start()
    cpu.quantile(values, 0.995, workspace=space)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096


@pytest.mark.parametrize("q", [-0.01, 1.01, float("nan")])
def test_a_quantile_outside_its_range_is_refused(q):
    for op in (reference.quantile, on_cpu):
        with pytest.raises(ValueError, match="take q in 0"):
            op(np.ones(3), q)


def test_no_values_are_refused():
    for op in (reference.quantile, on_cpu):
        with pytest.raises(ValueError, match="at least one value"):
            op(np.ones(0), 0.5)


@pytest.mark.parametrize("space", [cpu.workspace(4), cpu.workspace(5, np.float64)])
def test_a_workspace_that_does_not_fit_is_refused(space):
    with pytest.raises(ValueError, match="do not fit a workspace"):
        cpu.quantile(np.ones(5, dtype=np.float32), 0.5, workspace=space)

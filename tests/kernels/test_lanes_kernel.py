"""The gather kernel against the specification, in every type and layout that a pool may have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from denoisert.kernels.lanes import launch, reference

BLOCK = launch.BLOCK
INDICES = pytest.mark.parametrize("kind", [torch.int32, torch.int64])

COPIED = [
    torch.bool,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.float16,
    torch.bfloat16,
    torch.int32,
    torch.float32,
    torch.int64,
    torch.float64,
    torch.complex64,
]
# Relative error of a scaled lane against the float64 product.
TOLERANCES = {
    torch.float32: 2.0**-24,  # one rounding
    torch.float16: 2.0**-11 + 2.0**-24,  # the product's rounding, then the type's
    torch.bfloat16: 2.0**-7,  # 1 ulp: the interpreter truncates where a GPU rounds to 2^-8
}


def rows(shape, dtype, seed=0):
    """Numbers of a type whose bytes are all in use."""
    size = math.prod(shape) * dtype.itemsize
    drawn = np.random.default_rng(seed).integers(256, size=size, dtype=np.uint8)
    if dtype == torch.bool:
        drawn %= 2
    return torch.from_numpy(drawn).view(dtype).reshape(shape)


def spread(tensor, gap):
    """The same rows, each followed by `gap` poisoned elements; the store too."""
    row = math.prod(tensor.shape[1:])
    store = torch.full((len(tensor), row + gap), 1, dtype=tensor.dtype, device=tensor.device)
    store[:, :row] = tensor.reshape(len(tensor), row)
    strides = (row + gap, *tensor.contiguous().stride()[1:])
    return store.as_strided(tensor.shape, strides), store


def same_bits(found, expected):
    """Whether two tensors of one type have the same bytes, NaN included."""
    sides = (side.contiguous().view(torch.uint8).cpu().numpy() for side in (found, expected))
    return np.array_equal(*sides)


@pytest.mark.parametrize("dtype", COPIED, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (3, 4, 4), (7, 11)], ids=str)
def test_a_copy_is_the_reference_bit_for_bit(kernel_device, dtype, shape):
    source = rows((5, *shape), dtype).to(kernel_device)
    index = torch.tensor([4, 0, 0, 3, 1, 4, 2], device=kernel_device)
    out = torch.full((7, *shape), 1, dtype=dtype, device=kernel_device)
    launch.gather(source, index, out=out)
    bytes_of = source.cpu().reshape(5, -1).view(torch.uint8).numpy()
    expected = reference.gather(bytes_of, index.cpu().numpy())
    assert np.array_equal(out.cpu().reshape(7, -1).view(torch.uint8).numpy(), expected)


@INDICES
@pytest.mark.parametrize(
    "units", [1, 3, 4, 8, 61, 64, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 4, 2 * BLOCK + 12]
)
def test_every_row_length_is_copied_and_nothing_beside_it(kernel_device, units, kind):
    source = rows((3, units), torch.float32, units).to(kernel_device)
    index = torch.tensor([2, 0, 1, 2], dtype=kind, device=kernel_device)
    for gap in (0, 1, 4):  # 4 keeps rows on 16 bytes
        apart, _ = spread(source, gap)
        out, store = spread(torch.zeros((4, units), device=kernel_device), gap)
        launch.gather(apart, index, out=out)
        assert same_bits(out, source[index.long()])
        assert bool((store[:, units:] == 1).all())


@pytest.mark.parametrize("shift", [1, 2, 4])
def test_pointers_off_16_bytes_are_read_and_written(kernel_device, shift):
    source = rows((9 * 64 + shift,), torch.float32).to(kernel_device)[shift:].view(9, 64)
    out = torch.zeros(5 * 64 + shift, device=kernel_device)[shift:].view(5, 64)
    index = torch.tensor([8, 0, 5, 5, 1], device=kernel_device)
    launch.gather(source, index, out=out)
    assert same_bits(out, source[index])


@INDICES
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("units", [1, 13, 64, BLOCK + 8])
def test_scaled_lanes_are_near_the_reference(kernel_device, dtype, units, kind):
    generator = np.random.default_rng(units)
    source = torch.from_numpy(generator.standard_normal((5, units), dtype=np.float32))
    scale = torch.from_numpy(generator.uniform(0.01, 40, size=6).astype(np.float32))
    index = torch.tensor([4, 4, 0, 2, 3, 1], dtype=kind)
    out = torch.full((6, units), math.nan, dtype=dtype, device=kernel_device)
    on_device = (tensor.to(kernel_device) for tensor in (source, index, scale))
    launch.gather(*on_device, out=out)
    wide = [tensor.numpy().astype(np.float64) for tensor in (source, scale)]
    expected = reference.gather(wide[0], index.numpy(), wide[1])
    found = out.cpu().to(torch.float64).numpy()
    np.testing.assert_allclose(found, expected, rtol=TOLERANCES[dtype], atol=0)
    if dtype == torch.float32:
        same = reference.gather(source.numpy(), index.numpy(), scale.numpy())
        assert np.array_equal(out.cpu().numpy(), same)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_a_scale_of_one_rounds_the_source_and_nothing_else(kernel_device, dtype):
    exact = torch.arange(-64, 64, dtype=torch.float32, device=kernel_device).view(2, 64)
    index = torch.tensor([1, 0, 1], device=kernel_device)
    out = torch.full((3, 64), math.nan, dtype=dtype, device=kernel_device)
    launch.gather(exact, index, torch.ones(3, device=kernel_device), out=out)
    assert torch.equal(out.float(), exact[index])


@pytest.mark.parametrize("outside", [-1, -(2**31), 5, 2**31 - 1, 2**40, -(2**40)])
@pytest.mark.parametrize("scaled", ["copied", "scaled"])
def test_an_index_outside_the_source_leaves_its_lane(kernel_device, outside, scaled):
    source = rows((5, 64), torch.int32).float().to(kernel_device)
    index = torch.tensor([3, outside, 0], device=kernel_device)
    scale = torch.ones(3, device=kernel_device) if scaled == "scaled" else None
    out = torch.full((3, 64), -7.0, device=kernel_device)
    launch.gather(source, index, scale, out=out)
    assert torch.equal(out[[0, 2]], source[[3, 0]])
    assert bool((out[1] == -7).all())


def test_permuting_the_lanes_permutes_the_result(kernel_device):
    source = rows((6, 40), torch.int32).to(kernel_device)
    order = torch.from_numpy(np.random.default_rng(1).permutation(6)).to(kernel_device)
    out = torch.zeros_like(source)
    launch.gather(source, order, out=out)
    back = torch.zeros_like(source)
    launch.gather(out, torch.argsort(order), out=back)
    assert torch.equal(back, source)


def test_rows_may_be_one_row_expanded(kernel_device):
    source = rows((1, 64), torch.float32).to(kernel_device).expand(4, 64)
    out = torch.zeros((2, 64), device=kernel_device)
    launch.gather(source, torch.tensor([3, 1], device=kernel_device), out=out)
    assert same_bits(out, source[:2])


@pytest.mark.parametrize(("lanes", "shape"), [(0, (5, 8)), (3, (5, 0))])
def test_nothing_is_launched_for_nothing(lanes, shape):
    out = torch.zeros((lanes, shape[1]))
    launch.gather(torch.zeros(shape), torch.zeros(lanes, dtype=torch.int64), out=out)


SOURCE, INDEX, SCALE, OUT = torch.zeros(5, 4), torch.arange(3), torch.ones(3), torch.zeros(3, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"out": torch.zeros(3, 5)},
        {"out": torch.zeros(2, 4)},
        {"out": torch.zeros(3, 4, dtype=torch.float64)},
        {"out": torch.zeros(3, 4, dtype=torch.float16)},
        {"out": torch.zeros(4, 3).T},
        {"out": torch.zeros(3, 4, device="meta")},
        {"source": torch.zeros(4, 5).T},
        {"source": torch.zeros(5, 4, 1)},
        {"index": torch.zeros(3, dtype=torch.int16)},
        {"index": torch.zeros(3)},
        {"index": torch.zeros((3, 1), dtype=torch.int64)},
        {"index": torch.arange(6)[::2]},
        {"scale": torch.ones(4)},
        {"scale": torch.ones(3, dtype=torch.float64)},
        {"scale": torch.ones(6)[::2]},
        {"scale": SCALE, "source": SOURCE.half(), "out": OUT.half()},
        {"scale": SCALE, "out": torch.zeros(3, 4, dtype=torch.float64)},
    ],
)
def test_tensors_that_do_not_fit_are_refused(change):
    given = {"source": SOURCE, "index": INDEX, "out": OUT} | change
    with pytest.raises(ValueError, match="do not fit"):
        launch.gather(**given)


@pytest.mark.parametrize(
    "source",
    [
        torch.zeros(1, dtype=torch.int8).as_strided((1, 1), (2**31, 1)),
        torch.empty((1, (launch.MOST_PROGRAMS + 1) * BLOCK), dtype=torch.int32, device="meta"),
    ],
    ids=["rows too far apart", "rows too long"],
)
def test_rows_that_the_grid_does_not_reach_are_refused(source):
    index = torch.zeros(1, dtype=torch.int64, device=source.device)
    with pytest.raises(ValueError, match="gather parts of them"):
        launch.gather(source, index, out=torch.empty_like(source))

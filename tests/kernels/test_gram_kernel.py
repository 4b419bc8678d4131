"""The device form of gram against the reference, in the interpreter or on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denoisert.kernels.gram import launch, reference

POISON = float("nan")
SIZES = [1, 2, 3, 31, 257, 4095, 4096, 4097]


def vectors_of(slots, elements, seed=0):
    generator = np.random.default_rng([seed, slots, elements])
    return (generator.standard_normal((slots, 4, elements)) + 0.3).astype(np.float32)


def padded(vectors, device):
    """The vectors in rows a multiple of 64 apart; what lies behind them is no number."""
    slots, count, elements = vectors.shape
    held = torch.full((slots, count, -(-elements // 64) * 64), POISON)
    held[..., :elements] = torch.from_numpy(vectors)
    return held.to(device)


def arguments(vectors, counts, channels, device):
    """Positional and keyword arguments of a launch whose buffers are all poisoned."""
    slots, _, elements = vectors.shape
    wide = {"dtype": torch.float64, "device": device}
    shape = launch.workspace(slots, channels, elements)
    named = {
        "elements": elements,
        "channels": channels,
        "out": (
            torch.full((slots, channels, 4, 4), POISON, **wide),
            torch.full((slots, channels, 4), POISON, **wide),
        ),
        "workspace": torch.full(shape, POISON, **wide),
    }
    return (padded(vectors, device), torch.tensor(counts, dtype=torch.int32, device=device)), named


def on_device(vectors, counts, channels, device):
    """Products and sums of every slot."""
    given, named = arguments(vectors, counts, channels, device)
    launch.gram(*given, **named)
    return tuple(tensor.cpu().numpy() for tensor in named["out"])


def assert_slot(found, slot, vectors, count, channels):
    """The corner equals the reference within the rounding of n additions; the rest is poison."""
    products, sums = (part[slot] for part in found)
    assert np.isnan(products[:, count:]).all()
    assert np.isnan(products[:, :, count:]).all()
    assert np.isnan(sums[:, count:]).all()
    if count == 0:
        return
    used = vectors[slot, :count]
    wide = np.abs(used.astype(np.float64))
    bound = 1e-14 * float(np.sum(wide**2 + wide))
    expected = reference.gram(used, channels)
    np.testing.assert_allclose(products[:, :count, :count], expected[0], rtol=0, atol=bound)
    np.testing.assert_allclose(sums[:, :count], expected[1], rtol=0, atol=bound)


def equal(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("elements", SIZES)
def test_gram_equals_the_reference_for_every_number_of_vectors(elements, kernel_device):
    counts = [2, 0, 4, 1, 3]
    vectors = vectors_of(len(counts), elements)
    found = on_device(vectors, counts, 1, kernel_device)
    for slot, count in enumerate(counts):
        assert_slot(found, slot, vectors, count, 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 61, 1024])
def test_gram_of_channels_equals_the_reference(channels, size, kernel_device):
    vectors = vectors_of(1, channels * size, seed=1)
    found = on_device(vectors, [2], channels, kernel_device)
    assert_slot(found, 0, vectors, 2, channels)


def test_many_splits_are_added(kernel_device):
    elements = launch.SPLIT_ELEMENTS * (launch.TOTAL.constants["CHUNK"] + 1) + 77
    vectors = vectors_of(1, elements)
    assert launch.workspace(1, 1, elements)[2] == launch.TOTAL.constants["CHUNK"] + 2
    assert_slot(on_device(vectors, [1], 1, kernel_device), 0, vectors, 1, 1)


def test_products_are_symmetric_and_repeat_bit_for_bit(kernel_device):
    vectors = vectors_of(1, 5003)
    found = on_device(vectors, [4], 1, kernel_device)
    assert np.array_equal(found[0], found[0].swapaxes(2, 3))
    assert equal(found, on_device(vectors, [4], 1, kernel_device))


def test_small_terms_survive_a_large_one(kernel_device):
    vectors = np.full((1, 4, 10_001), 1e-3, dtype=np.float32)
    vectors[0, 0, 0] = 1e4  # its square swallows every 1e-6 in float32
    products, _ = on_device(vectors, [1], 1, kernel_device)
    small = float(np.float32(1e-3)) ** 2
    assert products[0, 0, 0, 0] - 1e8 == pytest.approx(10_000 * small, rel=1e-3)


def test_a_slot_does_not_depend_on_the_others(kernel_device):
    vectors = vectors_of(3, 777)
    alone = on_device(vectors[1:2], [2], 3, kernel_device)
    vectors[[0, 2]] = np.nan
    among = on_device(vectors, [4, 2, 1], 3, kernel_device)
    assert equal(alone, [part[1:2] for part in among])


def test_permuting_the_slots_permutes_the_result(kernel_device):
    vectors, order = vectors_of(4, 300), [2, 0, 3, 1]
    found = on_device(vectors, [1, 2, 3, 0], 2, kernel_device)
    moved = on_device(vectors[order], [3, 1, 0, 2], 2, kernel_device)
    assert equal([part[order] for part in found], moved)


def test_permuting_the_vectors_permutes_the_result(kernel_device):
    vectors, order = vectors_of(1, 777), [2, 0, 3, 1]
    products, sums = on_device(vectors, [4], 1, kernel_device)
    moved = on_device(vectors[:, order], [4], 1, kernel_device)
    assert equal(moved, (products[:, :, order][:, :, :, order], sums[:, :, order]))


def test_a_value_that_is_not_finite_stays_in_its_own_channel(kernel_device):
    vectors = vectors_of(1, 30)
    vectors[0, 1, 12] = np.inf
    products, sums = (part[0] for part in on_device(vectors, [2], 3, kernel_device))
    assert np.isfinite(products[[0, 2], :2, :2]).all()
    assert np.isfinite(sums[[0, 2], :2]).all()
    assert np.isinf(sums[1, 1])
    assert np.isfinite(products[1, 0, 0])


def test_a_view_of_wider_rows_is_read(kernel_device):
    vectors = vectors_of(2, 100)
    given, named = arguments(vectors, [2, 1], 2, kernel_device)
    held = torch.full((2, 6, 192), POISON, device=kernel_device)
    held[:, 1:5, :128] = given[0]
    launch.gram(held[:, 1:5, :128], given[1], **named)
    found = [part.cpu().numpy() for part in named["out"]]
    assert equal(found, on_device(vectors, [2, 1], 2, kernel_device))


def test_the_splits_depend_on_the_size_of_a_channel_only():
    assert launch.workspace(1, 1, 1) == (1, 1, 1, 16)
    assert launch.workspace(3, 4, 4 * 64 * 64) == (3, 4, 2, 16)
    assert launch.workspace(8, 1, 1 << 24) == (8, 1, launch.MAX_SPLITS, 16)


@pytest.mark.parametrize("channels", [0, -1, 3, 11])
def test_elements_that_do_not_split_into_channels_are_refused(channels):
    given, named = arguments(vectors_of(1, 10), [1], 1, "cpu")
    with pytest.raises(ValueError, match="equal channels"):
        launch.gram(*given, **named | {"channels": channels})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vectors", lambda held: held[:, :3]),
        ("vectors", lambda held: held.double()),
        ("vectors", lambda held: held[..., :64]),
        ("vectors", lambda held: held[..., 1:]),
        ("vectors", lambda held: held.mT.contiguous().mT),
        ("counts", lambda counts: counts.long()),
        ("counts", lambda counts: counts[:1]),
        ("workspace", lambda space: space[:, :, :1]),
        ("workspace", lambda space: space.float()),
        ("products", lambda products: products.mT),
        ("products", lambda products: products[:, :, :2, :2]),
        ("sums", lambda sums: sums.float()),
    ],
)
def test_a_tensor_of_another_form_is_refused(name, change):
    given, named = arguments(vectors_of(2, 100 * 41), [1, 2], 1, "cpu")
    tensors = dict(zip(("vectors", "counts"), given, strict=True))
    tensors |= dict(zip(("products", "sums"), named["out"], strict=True))
    tensors |= {"workspace": named["workspace"]}
    tensors[name] = change(tensors[name])
    named |= {"out": (tensors["products"], tensors["sums"]), "workspace": tensors["workspace"]}
    with pytest.raises(ValueError, match=f"{name} (is|are) "):
        launch.gram(tensors["vectors"], tensors["counts"], **named)

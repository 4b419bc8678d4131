"""The device form of quantile against the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denoisert.kernels.quantile import kernel, launch, reference

POISON = float("nan")
SIZES = [1, 2, 3, 31, 257, 4095, 4096, 4097]
RATIOS = [0.0, 0.25, 1 / 3, 0.5, 0.995, 1.0]
KINDS = ["normal", "ties", "equal", "wide", "denormal"]
LARGE = launch.SMALL + 77  # the path of several programs, with a part of a block


def values_of(kind, count, seed=0):
    generator = np.random.default_rng([len(kind), count, seed])
    values = generator.standard_normal(count)
    if kind == "ties":
        values = np.round(values)
    if kind == "equal":
        values = np.full(count, -1.25)
    if kind == "wide":
        values = np.exp(8 * values) * generator.choice([-1, 1], count)
    if kind == "denormal":
        values *= 1e-42
    return values.astype(np.float32)


def arguments(slots, ratios, device):
    """Arguments of a launch: rows a multiple of 64 apart, poison behind them and in the buffers."""
    elements = len(slots[0])
    values = torch.full((len(slots), -(-elements // 64) * 64), POISON)
    for row, slot in zip(values, slots, strict=True):
        row[:elements] = torch.from_numpy(slot)
    given = [values.to(device), torch.tensor(ratios, dtype=torch.float32, device=device)]
    named = {
        "elements": elements,
        "out": torch.full((len(slots),), POISON, device=device),
        "workspace": torch.full(
            launch.workspace(len(slots)), 123_456, dtype=torch.int32, device=device
        ),
    }
    return given, named


def on_device(slots, ratios, device):
    given, named = arguments(slots, ratios, device)
    launch.quantile(*given, **named)
    return named["out"].cpu().numpy()


def expected(slots, ratios):
    """The reference's quantiles; poison where none is asked for."""
    found = [
        reference.quantile(slot, ratio) if ratio >= 0 else POISON
        for slot, ratio in zip(slots, ratios, strict=True)
    ]
    return np.array(found, dtype=np.float32)


def assert_equal(found, wanted):
    assert np.array_equal(found, wanted, equal_nan=True), f"{found} is not {wanted}"


def assert_quantiles(slots, ratios, device):
    assert_equal(on_device(slots, ratios, device), expected(slots, ratios))


@pytest.mark.parametrize("count", SIZES)
def test_quantile_equals_the_reference(count, kernel_device):
    slots = [values_of(kind, count) for kind in KINDS]
    assert_quantiles(slots * 2, (RATIOS * 2)[: 2 * len(KINDS)], kernel_device)


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_ratio_of_every_kind_equals_the_reference(ratio, kernel_device):
    slots = [values_of(kind, 97) for kind in KINDS]
    assert_quantiles(slots, [ratio] * len(slots), kernel_device)


@pytest.mark.parametrize(("kind", "ratio"), list(zip(KINDS, RATIOS[1:], strict=True)))
def test_quantile_of_many_values_equals_the_reference(kind, ratio, kernel_device):
    assert_quantiles([values_of(kind, LARGE)], [ratio], kernel_device)


@pytest.mark.parametrize("ratio", [0.0, 0.9, 1.0])
def test_the_ends_of_many_values_equal_the_reference(ratio, kernel_device):
    assert_quantiles([values_of("wide", LARGE)], [ratio], kernel_device)


def test_the_path_changes_at_a_size_without_a_trace(kernel_device):
    values = values_of("normal", launch.SMALL + 1)
    for count in (launch.SMALL, launch.SMALL + 1):
        assert_quantiles([values[:count]], [0.995], kernel_device)


def test_every_pair_of_neighbours_is_found(kernel_device):
    values = values_of("wide", 17)
    ratios = [(rank + share) / 16 for rank in range(16) for share in (0.3, 0.5, 0.7)]
    assert_quantiles([values] * len(ratios), ratios, kernel_device)


@pytest.mark.parametrize("gap", [1, 2, 1 << 8, 1 << 16, 1 << 24])
def test_neighbours_may_differ_in_any_digit(gap, kernel_device):
    """The upper neighbour lies in the same histogram or beyond it, at each of its digits."""
    low = 0x3F7FFFFF
    pair = np.array([low, low + gap], dtype=np.uint32).view(np.float32)
    for count in (3, LARGE):
        values = np.repeat(pair, [count - 1, 1])
        rank = (count - 1.5) / (count - 1)
        assert_quantiles([values], [rank], kernel_device)


@pytest.mark.parametrize("count", [300, LARGE])
def test_a_skipped_slot_stays_as_it_is(count, kernel_device):
    slots = [values_of("normal", count, seed) for seed in range(3)]
    given, named = arguments(slots, [-1.0, 0.9, -0.5], kernel_device)
    named["out"].fill_(7.0)
    launch.quantile(*given, **named)
    found = named["out"].cpu().numpy()
    assert_equal(found, np.array([7.0, reference.quantile(slots[1], 0.9), 7.0], np.float32))


@pytest.mark.parametrize("count", [10, LARGE])
def test_a_value_that_is_not_a_number_makes_the_quantile_none(count, kernel_device):
    slots = [values_of("normal", count, seed) for seed in range(4)]
    slots[0][count // 2] = np.nan
    slots[1][-1] = -np.nan
    slots[2][0] = np.frombuffer(b"\x01\x00\x80\x7f", np.float32)[0]  # the smallest NaN
    found = on_device(slots, [0.5, 1.0, 0.0, 0.5], kernel_device)
    assert np.isnan(found[:3]).all()
    assert found[3] == np.float32(reference.quantile(slots[3], 0.5))


@pytest.mark.parametrize("count", [10, LARGE])
def test_infinite_values_stand_at_the_upper_end(count, kernel_device):
    values = values_of("normal", count)
    values[[3, 5]] = np.inf, -np.inf
    ranks = [count - 3, count - 2.5, count - 1.5, count - 1]
    ratios = [rank / (count - 1) for rank in ranks]
    found = on_device([values] * len(ratios), ratios, kernel_device)
    assert_equal(found, expected([values] * len(ratios), ratios))
    assert np.isinf(found[1:]).all()


def test_the_sign_and_the_order_of_the_values_do_not_matter(kernel_device):
    values = values_of("normal", 500)
    shuffled = np.random.default_rng(8).permutation(values)
    found = on_device([values, -values, shuffled], [0.9] * 3, kernel_device)
    assert len(set(found)) == 1


@pytest.mark.parametrize("count", [100, LARGE])
def test_permuting_the_slots_permutes_the_quantiles(count, kernel_device):
    slots = [values_of("normal", count, seed) for seed in range(3)]
    ratios, order = [0.2, 0.5, 0.995], [2, 0, 1]
    found = on_device(slots, ratios, kernel_device)
    moved = on_device([slots[i] for i in order], [ratios[i] for i in order], kernel_device)
    assert_equal(moved, found[order])


def test_a_second_launch_needs_no_clean_workspace(kernel_device):
    given, named = arguments([values_of("normal", LARGE)], [0.9], kernel_device)
    launch.quantile(*given, **named)
    first = named["out"].clone()
    other = values_of("wide", LARGE)
    given[0][0, :LARGE] = torch.from_numpy(other)
    launch.quantile(*given, **named)
    second = named["out"].clone()
    assert second.item() == np.float32(reference.quantile(other, 0.9))
    assert second.item() != first.item()


class Recorder:
    """Stands in for a kernel and keeps the keywords of its launches."""

    def __init__(self, name, seen):
        self.name = name
        self.seen = seen

    def __getitem__(self, grid):
        return lambda *_, **options: self.seen.append((self.name, options))


@pytest.mark.parametrize("count", [launch.SMALL, launch.SMALL + 1])
def test_launches_are_the_variants_without_contraction(count, monkeypatch):
    """The interpreter never contracts, so only a GPU would show a fused multiply-add."""
    seen = []
    for name in ("select", "histogram", "finish"):
        monkeypatch.setattr(kernel, name, Recorder(name, seen))
    given, named = arguments([values_of("normal", count)], [0.5], "cpu")
    launch.quantile(*given, **named)
    wanted = [launch.SELECT] if count == launch.SMALL else [*launch.HISTOGRAMS, launch.FINISH]
    assert seen == [
        (each.kernel, {**each.constants, "num_warps": each.warps, "enable_fp_fusion": False})
        for each in wanted
    ]


@pytest.mark.parametrize("elements", [0, -1, 65, launch.LARGEST + 1])
def test_elements_that_the_rows_do_not_hold_are_refused(elements):
    given, named = arguments([values_of("normal", 40)], [0.5], "cpu")
    with pytest.raises(ValueError, match="values are"):
        launch.quantile(*given, **named | {"elements": elements})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("values", lambda values: values.double()),
        ("values", lambda values: values[:, 1:]),
        ("values", lambda values: values.mT.contiguous().mT),
        ("ratios", lambda ratios: ratios.double()),
        ("ratios", lambda ratios: ratios[:1]),
        ("out", lambda out: out.double()),
        ("workspace", lambda space: space.long()),
        ("workspace", lambda space: space[:, :1]),
    ],
)
def test_a_tensor_of_another_form_is_refused(name, change):
    given, named = arguments([values_of("normal", 40)] * 2, [0.5] * 2, "cpu")
    tensors = dict(zip(("values", "ratios"), given, strict=True)) | named
    tensors[name] = change(tensors[name])
    with pytest.raises(ValueError, match=f"{name} (is|are) "):
        launch.quantile(tensors.pop("values"), tensors.pop("ratios"), **tensors)

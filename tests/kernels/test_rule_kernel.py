"""The device twins of the guidance rules against their NumPy programs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denoisert.kernels.gram import reference as gram
from denoisert.kernels.rule import RULES, VECTORS, cpu, launch

POISON = float("nan")
COUNT = 40
IDS = range(1, len(RULES))


def vectors_of(kind, channels=1, seed=0):
    """Four vectors, independent or as a trained network would give them."""
    generator = np.random.default_rng([seed, len(kind)])
    vectors = generator.standard_normal((4, channels * COUNT))
    if kind == "near-parallel":
        vectors[1:] = vectors[0] + 1e-5 * vectors[1:]
    if kind == "equal":
        vectors[1:] = vectors[0]
    if kind == "offset":
        vectors += np.array([3.0, -2.0, 1.0, 0.5])[:, None]
    if kind == "opposite":
        vectors[1:] = -vectors[0] + 0.1 * vectors[1:]
    if kind == "flat":
        vectors[:] = np.array([0.1, 0.7, -2.3, 1e-20])[:, None]
    return vectors


def expected(rule, vectors, args, carried, channels):
    """Weights by the NumPy program, and what it keeps."""
    count, kept = VECTORS[rule], carried.copy()
    products, sums = gram.gram(vectors[:count], channels)
    weights = np.full((channels, count), POISON, dtype=np.float32)
    cpu.apply(rule, products, sums, COUNT, args, carried=kept, out=weights)
    return weights, kept


def arguments(rules, vectors, args, channels, device):
    """Arguments of a launch; all that gram does not write and every output is poisoned."""
    slots = len(rules)
    products = np.full((slots, channels, 4, 4), POISON)
    sums = np.full((slots, channels, 4), POISON)
    for slot, rule in enumerate(rules):
        count = VECTORS[rule] if rule < len(RULES) else 4
        if count:
            found = gram.gram(vectors[slot][:count], channels)
            products[slot, :, :count, :count], sums[slot, :, :count] = found
    held = np.full((slots, 8), POISON)
    for slot, values in enumerate(args):
        held[slot, : len(values)] = values
    carried = np.arange(slots * channels * 4.0).reshape(slots, channels, 4)
    place = torch.from_numpy
    given = [torch.tensor(rules, dtype=torch.int32), place(products), place(sums)]
    named = {"args": place(held), "carried": place(carried)}
    named["out"] = torch.full((slots, channels, 4), POISON)
    named = {name: tensor.to(device) for name, tensor in named.items()}
    return [tensor.to(device) for tensor in given], named | {"count": COUNT}


def on_device(rules, vectors, args, channels, device):
    """Weights and what the rules keep, of every slot."""
    given, named = arguments(rules, vectors, args, channels, device)
    launch.apply(*given, **named)
    return named["out"].cpu().numpy(), named["carried"].cpu().numpy()


def assert_slot(found, slot, rule, vectors, args, channels):
    """The weights of the rule's vectors within one rounding to float32; the rest is poison."""
    weights, carried = (part[slot] for part in found)
    before = np.arange(slot * channels * 4.0, (slot + 1) * channels * 4.0).reshape(channels, 4)
    wanted, kept = expected(rule, vectors, args, before, channels)
    count = VECTORS[rule]
    np.testing.assert_allclose(weights[:, :count], wanted, rtol=1.2e-7, atol=0)
    np.testing.assert_allclose(carried, kept, rtol=1e-12, atol=0)
    assert np.isnan(weights[:, count:]).all()


@pytest.mark.parametrize("rule", IDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_rule_has_a_twin_that_equals_its_program(rule, channels, kernel_device):
    generator = np.random.default_rng(rule)
    kinds = ["independent", "near-parallel", "equal", "offset", "opposite"]
    vectors = [vectors_of(kind, channels) for kind in kinds]
    args = generator.uniform(0.1, 0.9, (len(kinds), 8))
    found = on_device([rule] * len(kinds), vectors, args, channels, kernel_device)
    for slot in range(len(kinds)):
        assert_slot(found, slot, rule, vectors[slot], args[slot], channels)


@pytest.mark.parametrize("number", [-1, len(RULES), 77])
def test_a_number_without_a_program_gives_weights_that_are_no_numbers(number, kernel_device):
    vectors = [vectors_of("independent")] * 2
    given, named = arguments([cpu.CFG_RESCALE] * 2, vectors, [[2.0, 0.5]] * 2, 1, kernel_device)
    given[0][1] = number
    named["out"].zero_()
    launch.apply(*given, **named)
    assert torch.isfinite(named["out"][0]).all()
    assert torch.isnan(named["out"][1]).all()


def test_slots_without_a_rule_are_left_alone(kernel_device):
    vectors = [vectors_of("independent", 2, seed) for seed in range(4)]
    args = [[0.0], [7.5, 0.7], [0.0], [3.0, 0.2]]
    rules = [0, cpu.CFG_RESCALE, 0, cpu.CFG_RESCALE]
    found = on_device(rules, vectors, args, 2, kernel_device)
    assert np.isnan(found[0][[0, 2]]).all()
    for slot in (1, 3):
        assert_slot(found, slot, rules[slot], vectors[slot], args[slot], 2)


def test_permuting_the_slots_permutes_the_weights(kernel_device):
    vectors = [vectors_of("offset", 2, seed) for seed in range(3)]
    args, order = np.array([[2.0, 0.1], [3.0, 0.5], [4.0, 0.9]]), [2, 0, 1]
    found, _ = on_device([cpu.CFG_RESCALE] * 3, vectors, args, 2, kernel_device)
    moved, _ = on_device(
        [cpu.CFG_RESCALE] * 3, [vectors[i] for i in order], args[order], 2, kernel_device
    )
    assert np.array_equal(found[order], moved, equal_nan=True)


@pytest.mark.parametrize("kind", ["independent", "near-parallel", "equal", "offset", "flat"])
def test_rescale_equals_its_program(kind, kernel_device):
    args = [(w, phi) for w in (0.0, 1.0, 7.5, -2.0) for phi in (0.0, 0.7, 1.0)]
    vectors = [vectors_of(kind)] * len(args)
    found = on_device([cpu.CFG_RESCALE] * len(args), vectors, args, 1, kernel_device)
    for slot in range(len(args)):
        assert_slot(found, slot, cpu.CFG_RESCALE, vectors[slot], args[slot], 1)


def test_rescale_with_scale_one_returns_cond(kernel_device):
    args = [(1.0, phi) for phi in (0.0, 0.3, 0.5, 0.7, 1.0)]
    vectors = [vectors_of("independent")] * len(args)
    weights, _ = on_device([cpu.CFG_RESCALE] * len(args), vectors, args, 1, kernel_device)
    assert np.array_equal(weights[:, 0, :2], [[1.0, 0.0]] * len(args))


def test_a_langevin_step_without_a_score_is_none(kernel_device):
    vectors = [vectors_of("independent"), vectors_of("independent", seed=1)]
    vectors[1][0] = 0.0
    args = [[0.16, 0.9]] * 2
    found = on_device([cpu.LANGEVIN] * 2, vectors, args, 1, kernel_device)
    for slot in range(2):
        assert_slot(found, slot, cpu.LANGEVIN, vectors[slot], args[slot], 1)
    assert not found[0][1, 0, :2].any()


@pytest.mark.parametrize("kind", ["flat", "zero", "vanishing"])
def test_rescale_without_spread_takes_the_ratio_one(kind, kernel_device):
    vectors = vectors_of("flat") if kind == "flat" else vectors_of("independent")
    vectors[1] = {"flat": vectors[1], "zero": 0.0, "vanishing": 2 * vectors[0]}[kind]
    if kind == "zero":
        vectors[0] = 0.0
    weights, _ = on_device([cpu.CFG_RESCALE], [vectors], [[2.0, 1.0]], 1, kernel_device)
    assert np.array_equal(weights[0, 0, :2], [2.0, -1.0])


def test_rescale_keeps_nothing(kernel_device):
    vectors = [vectors_of("independent")]
    _, carried = on_device([cpu.CFG_RESCALE], vectors, [[2.0, 1.0]], 1, kernel_device)
    assert np.array_equal(carried, [[[0.0, 1.0, 2.0, 3.0]]])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rules", lambda rules: rules.long()),
        ("products", lambda products: products.mT),
        ("products", lambda products: products[..., :2, :2].contiguous()),
        ("sums", lambda sums: sums.float()),
        ("args", lambda args: args[:, :4]),
        ("carried", lambda carried: carried[:, :1]),
        ("out", lambda out: out.double()),
    ],
)
def test_a_tensor_of_another_form_is_refused(name, change):
    given, named = arguments([0, 0], [None] * 2, [[0.0]] * 2, 2, "cpu")
    tensors = dict(zip(("rules", "products", "sums"), given, strict=True)) | named
    tensors[name] = change(tensors[name])
    with pytest.raises(ValueError, match=f"{name} is "):
        launch.apply(tensors.pop("rules"), tensors.pop("products"), tensors.pop("sums"), **tensors)


def test_a_count_below_one_is_refused():
    given, named = arguments([0], [None], [[0.0]], 1, "cpu")
    with pytest.raises(ValueError, match="count is 0"):
        launch.apply(*given, **named | {"count": 0})

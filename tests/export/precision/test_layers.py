"""Costs and noise of layers: formulas against torch's count, ratios against their definition."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from denoisert.export.graph.flops import COUNTS
from denoisert.export.precision.layers import Noise, cost, layers, pairs, peak, weighted
from denoisert.export.precision.walk import Computed
from denoisert.runtime.engines.wide import WEIGHTS
from tests.export.precision.narrowed import block, graph_of
from tests.runtime.engines.torch.graphs import node


def counted(function, *shapes) -> tuple[int, tuple[int, ...]]:
    """What torch counts for a call on tensors of these shapes, and the shape of the result."""
    tensors = [torch.zeros(shape, device="meta") for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        result = function(*tensors)
    return counter.get_total_flops(), tuple(result.shape)


@pytest.mark.parametrize(
    ("op", "function", "shapes"),
    [
        ("MatMul", torch.matmul, [(2, 5, 7), (7, 3)]),
        ("MatMul", torch.matmul, [(2, 4, 5, 7), (2, 4, 7, 3)]),
        ("Gemm", lambda x, y: x @ y.mT, [(5, 7), (3, 7)]),
        ("Gemm", lambda x, y: x.mT @ y, [(7, 5), (7, 3)]),
        ("Gemm", torch.matmul, [(5, 7), (7, 3)]),
        ("Conv", lambda x, w: functional.conv2d(x, w, padding=1), [(2, 4, 6, 5), (8, 4, 3, 3)]),
        ("Conv", lambda x, w: functional.conv2d(x, w, groups=2), [(2, 4, 6, 5), (8, 2, 3, 3)]),
        ("ConvTranspose", functional.conv_transpose2d, [(2, 4, 6, 5), (4, 8, 3, 3)]),
        (
            "Attention",
            functional.scaled_dot_product_attention,
            [(2, 4, 6, 8), (2, 4, 9, 8), (2, 4, 9, 8)],
        ),
    ],
)
def test_operations_are_those_that_torch_counts(op, function, shapes) -> None:
    wanted, output = counted(function, *shapes)
    turned = {"transA": int(shapes[0][0] != output[0])} if op == "Gemm" else {}
    each = ir.node(op, [None], turned)
    one = Computed("y", torch.zeros(output, device="meta"), tuple(shapes))
    assert cost(each, one) == wanted > 0


def test_every_layer_has_a_cost() -> None:
    assert COUNTS.keys() == WEIGHTS


def test_the_ratio_is_that_of_energies_over_all_trials() -> None:
    noise = Noise()
    noise.add(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5]))
    assert noise.snr_db == pytest.approx(20.0)
    noise.add(torch.tensor([0.0, 5.0]), torch.tensor([0.0, 5.5]))
    assert noise.snr_db == pytest.approx(20.0)
    noise.add(torch.tensor([50.0]), torch.tensor([50.0]))
    assert noise.snr_db == pytest.approx(10 * np.log10(2550 / 0.5))


def test_half_values_are_compared_in_full() -> None:
    noise = Noise()
    noise.add(torch.tensor([300.0]), torch.tensor([299.0], dtype=torch.float16))
    assert noise.snr_db == pytest.approx(20 * np.log10(300))


def test_equal_values_have_no_noise_and_values_that_are_not_finite_nothing_else() -> None:
    ones = torch.ones(3)
    equal, infinite, nothing, dead = Noise(), Noise(), Noise(), Noise()
    equal.add(ones, ones)
    infinite.add(ones, ones / 0)
    nothing.add(ones, ones * float("nan"))
    dead.add(ones * 0, ones)
    assert equal.snr_db == inf
    assert infinite.snr_db == nothing.snr_db == dead.snr_db == -inf
    assert not isnan(nothing.snr_db)


def test_the_noisiest_layer_comes_first_with_what_it_costs() -> None:
    model = block()
    nodes = weighted(model)
    assert list(nodes) == ["shift", "q", "k", "c", "f", "h"]
    noises = {name: Noise(100.0, 10.0**-i, flops=i) for i, name in enumerate(nodes)}
    noises["f"].noise = float("nan")
    found = layers(nodes, noises)
    assert [layer.name for layer in found] == ["f", "shift", "q", "k", "c", "h"]
    sizes = {layer.name: (layer.op, layer.weight_bytes, layer.flops) for layer in found}
    assert sizes["h"] == ("MatMul", 4 * 16 * 8, 5)
    assert sizes["c"] == ("Attention", 0, 3)
    assert layers(nodes, {}) == ()


def test_the_largest_number_below_infinity() -> None:
    values = torch.tensor([1.0, -7.0, 3.4e38, -float("inf"), float("nan")])
    assert peak(values, 1e30) == 7.0
    assert peak(values.double(), inf) == pytest.approx(3.4e38)
    assert peak(torch.tensor([5, -9]), 1e30) == 0.0
    assert peak(torch.empty(0), 1e30) == 0.0


def test_two_graphs_meet_at_the_values_that_both_have() -> None:
    def values(names: str, number: float) -> list[Computed]:
        return [Computed(name, torch.tensor(number), ()) for name in names.split()]

    first, second = values("a b c d", 1.0), values("x a y b z d", 2.0)
    found = list(pairs(first, second, frozenset("abd")))
    assert [one.name for one, _ in found] == ["a", "b", "d"]
    assert all(float(one.tensor) == 1.0 and float(other) == 2.0 for one, other in found)
    assert list(pairs(first, second, frozenset())) == []


def test_a_value_is_handed_over_before_the_next_one_is_computed() -> None:
    computed = []

    def values(names: str):
        for name in names.split():
            computed.append(name)
            yield Computed(name, torch.zeros(1), ())

    for one, _ in pairs(values("a b"), values("a b"), frozenset("ab")):
        assert computed[-1] == one.name
        assert computed.count("b") in (0, 2)


def test_a_graph_without_products_has_no_layers() -> None:
    model = graph_of([node("Neg", "x", "y")], {"x": [2]}, {"y": [2]})
    assert weighted(model) == {}

"""Every graph of the bundles that are compiled for tests: parity, precision, and the operators."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.engines.torch.operators import OPERATORS
from denoisert.runtime.engines.torch.operators.call import Kind
from tests.runtime.engines.torch.graphs import draw, outputs_of, relative
from tests.runtime.engines.torch.parity import (
    Pair,
    check_inputs_count,
    check_parity,
    draw_inputs,
    operators_of,
    pair_of,
)

COMPONENTS = ["denoiser", "text_encoder", "decoder", "encoder"]
HALF_BOUND = {"float16": 1e-2, "bfloat16": 8e-2}
"""About ten half eps in a row: each of some 60 layers rounds its result once, relative to the
largest, with eps 2^-11 or 2^-8; such errors add like a random walk, and by layers that amplify."""


def graphs_of(bundle):
    return sorted((bundle / "graphs").glob("*.onnx"))


class Component(NamedTuple):
    """One graph and both its engines, loaded once."""

    bundle: Path
    graph: Path
    pair: Pair
    exact: TorchEngine


@pytest.fixture(scope="module", params=["digits", *COMPONENTS])
def component(request):
    """The digits' denoiser and each component of the tiny text bundle."""
    name = "digits_bundle" if request.param == "digits" else "text_bundle"
    bundle = request.getfixturevalue(name)
    stem = "denoiser" if request.param == "digits" else request.param
    graph = bundle / "graphs" / f"{stem}.onnx"
    exact = TorchEngine(graph, bundle, dtype="float64")
    return Component(bundle, graph, pair_of(graph, bundle), exact)


def test_the_components_are_all_there_is(digits_bundle, text_bundle):
    assert [path.stem for path in graphs_of(digits_bundle)] == ["denoiser"]
    assert [path.stem for path in graphs_of(text_bundle)] == sorted(COMPONENTS)


@pytest.mark.parametrize("lanes", [1, 2, 3, 16])
def test_float32_equals_onnx_runtime(lanes, component):
    check_parity(component.pair, lanes)


def test_every_input_counts(component):
    check_inputs_count(component.pair.torch)


def test_lowered_graphs_run_as_well(component):
    """What the compiler rewrote for ONNX Runtime uses other forms of the same operators."""
    lowered = component.bundle / "engines" / "onnxruntime" / component.graph.name
    check_parity(pair_of(lowered, component.bundle), 2)


@pytest.mark.parametrize("dtype", HALF_BOUND)
def test_half_types_stay_close_to_float64(dtype, component):
    given = draw_inputs(component.exact, 3, seed=5)
    if component.bundle.stem == "digits":
        given["time"] /= 1000  # its times are 0..1
    wanted = outputs_of(component.exact, 3, given)
    engine = TorchEngine(component.graph, component.bundle, dtype=dtype)
    kinds = {port.name: getattr(torch, port.dtype) for port in engine.inputs}
    found = outputs_of(engine, 3, {name: x.to(kinds[name]) for name, x in given.items()})
    for name, tensor in wanted.items():
        error = relative(found[name], tensor)
        assert 0 < error < HALF_BOUND[dtype], (name, error)
    assert all(x.dtype == getattr(torch, dtype) for x in found.values())


def test_operators_in_use_are_known(digits_bundle, text_bundle):
    graphs = [*graphs_of(digits_bundle), *graphs_of(text_bundle)]
    used = set().union(*map(operators_of, graphs))
    assert used <= set(OPERATORS)
    assert {"Attention", "Conv", "GroupNormalization", "Gemm", "Resize", "Gelu"} <= used


def test_the_share_of_planned_bytes(component):
    """A third of an autoencoder, which is convolutions and norms, most of a transformer."""
    plan = component.pair.torch.plan(2)
    has_pictures = component.graph.stem in ("decoder", "encoder")
    share = plan.planned_bytes / (plan.planned_bytes + plan.late_bytes)
    assert share > (0.35 if has_pictures else 0.6), share
    assert 0 < plan.arena_bytes < 0.25 * plan.planned_bytes


def test_no_step_computes_shapes(component):
    for step in component.pair.torch.plan(3).program.steps:
        is_float = all(x.dtype.is_floating_point for x in step.specimens)
        assert is_float or step.call.kind is Kind.VIEW, step.outputs


def test_gradients_reach_the_latent(digits_bundle):
    engine = TorchEngine(digits_bundle / "graphs" / "denoiser.onnx", digits_bundle, dtype="float64")
    given = draw_inputs(engine, 2, seed=1)
    given["time"] /= 1000
    x = given["latent"].requires_grad_()
    function = engine.function(2)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).double()
    (gradient,) = torch.autograd.grad(function(given)["velocity"].square().sum(), x)
    step = 1e-5
    with torch.no_grad():
        sides = [
            function(given | {"latent": x + sign * step * direction})["velocity"].square().sum()
            for sign in (1, -1)
        ]
    wanted = (sides[0] - sides[1]) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), wanted, rtol=1e-7, atol=0)


def test_two_runs_give_the_same_bits(digits_bundle):
    engine = TorchEngine(digits_bundle / "graphs" / "denoiser.onnx", digits_bundle)
    buffers = draw(engine, 4)
    bound = engine.bind(4, buffers)
    bound.run()
    first = buffers["velocity"].clone()
    bound.run()
    assert torch.equal(first, buffers["velocity"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch._inductor
def test_compiled_digits_give_the_same_numbers(digits_bundle):
    engine = TorchEngine(digits_bundle / "graphs" / "denoiser.onnx", digits_bundle)
    given = draw_inputs(engine, 2, seed=1)
    wanted = engine.function(2)(given)["velocity"]
    assert relative(engine.function(2, "inductor")(given)["velocity"], wanted) < 1e-5


@pytest.mark.slow
def test_the_emoji_bundle(emoji_bundle):
    for graph in graphs_of(emoji_bundle):
        pair = pair_of(graph, emoji_bundle)
        assert operators_of(graph) <= set(OPERATORS)
        check_parity(pair, 1)
        check_parity(pair, 2)
        check_inputs_count(pair.torch, lanes=2)

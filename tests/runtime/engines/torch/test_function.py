"""The network as a pure function: gradients against finite differences, and compilers."""

import pytest
import torch
from torch.autograd import gradcheck

from tests.runtime.engines.torch.graphs import (
    convolution,
    draw,
    engine_of,
    model_of,
    node,
    perceptron,
    relative,
    weight,
)

# torch._inductor imports torch.utils.mkldnn, which uses what torch itself has deprecated.
SCRIPTED = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


def normalised():
    """Attention and every normalisation behind each other."""
    return model_of(
        [
            node("GroupNormalization", "x s b", "a", num_groups=2),
            node("Reshape", "a flat", "c"),
            node("Transpose", "c", "d", perm=[0, 2, 1]),
            node("LayerNormalization", "d s b", "e", axis=-1),
            node("RMSNormalization", "e s", "f", axis=-1),
            node("Attention", "f f f", "g", q_num_heads=2, kv_num_heads=2),
            node("Gelu", "g", "y"),
        ],
        {"x": ["lanes", 4, 2, 3]},
        {"y": ["lanes", 6, 4]},
        {"s": weight(4), "b": weight(4, seed=1), "flat": _sizes(0, 4, 6)},
    )


def _sizes(*values):
    return torch.tensor(values).numpy()


def inputs_of(engine, lanes):
    buffers = draw(engine, lanes)
    return {port.name: buffers[port.name] for port in engine.inputs}


@pytest.mark.parametrize("model", [perceptron, convolution, normalised])
def test_gradients_are_those_of_finite_differences(model, tmp_path):
    engine = engine_of(tmp_path, model(), dtype="float64")
    function = engine.function(2)
    x = inputs_of(engine, 2)["x"].requires_grad_()
    assert gradcheck(lambda given: function({"x": given})["y"], (x,), atol=1e-6)


def test_the_gradient_of_one_lane_is_its_own(tmp_path):
    engine = engine_of(tmp_path, normalised(), dtype="float64")
    given = inputs_of(engine, 3)
    x = given["x"].requires_grad_()
    answer = engine.function(3)({"x": x})["y"]
    (gradient,) = torch.autograd.grad(answer[1].square().sum(), x)
    assert gradient[1].abs().max() > 0
    assert gradient[[0, 2]].abs().max() == 0


def test_weights_have_no_gradient(tmp_path):
    function = engine_of(tmp_path, perceptron()).function(2)
    assert not list(function.parameters())
    assert not any(tensor.requires_grad for tensor in function.buffers())


def test_inputs_are_not_changed_and_answers_are_new(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    function, given = engine.function(2), inputs_of(engine, 2)
    before = {name: tensor.clone() for name, tensor in given.items()}
    one, other = function(given)["y"], function(given)["y"]
    assert one.data_ptr() != other.data_ptr()
    assert all(torch.equal(given[name], before[name]) for name in given)


def test_weights_are_shared_with_the_engine(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    engine.bind(2, draw(engine, 2))
    kept = {tensor.data_ptr() for tensor in engine._plans._constants.values()}
    assert {t.data_ptr() for t in engine.function(2)._body.buffers()} <= kept


@pytest.mark.parametrize("model", [perceptron, convolution, normalised])
def test_a_compiler_sees_one_graph(model, tmp_path):
    engine = engine_of(tmp_path, model())
    given = inputs_of(engine, 2)
    wanted = engine.function(2)(given)["y"]
    found = engine.function(2, "eager")(given)["y"]
    assert relative(found, wanted) == 0


@pytest.mark.slow
@SCRIPTED
@pytest.mark.parametrize("backend", ["inductor", "aot_eager"])
def test_compiled_code_gives_the_same_numbers(backend, tmp_path):
    engine = engine_of(tmp_path, normalised())
    given = inputs_of(engine, 2)
    given["x"].requires_grad_()
    wanted = engine.function(2)(given)["y"]
    found = engine.function(2, backend)(given)["y"]
    assert relative(found, wanted) < 1e-5
    gradients = [torch.autograd.grad(y.square().sum(), given["x"])[0] for y in (found, wanted)]
    assert relative(*gradients) < 1e-5

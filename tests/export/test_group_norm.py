"""GroupNormalization as InstanceNormalization: equal results, and nothing else touched."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.export.graph.group_norm import lower_group_norm
from tests.export.running import kinds, run_model

CHANNELS = 6


def norm(
    sizes: tuple[int | str, ...],
    *,
    groups: int = 3,
    opset: int = 23,
    dtype: int = TensorProto.FLOAT,
    epsilon: float | None = None,
) -> ir.Model:
    """One GroupNormalization of (N, 6, *sizes) with random scale and bias, then a Relu."""
    generator = np.random.default_rng(len(sizes))
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    per = CHANNELS if opset >= 21 else groups
    attributes = {"num_groups": groups} | ({} if epsilon is None else {"epsilon": epsilon})
    weights = [
        numpy_helper.from_array(generator.standard_normal(per).astype(kind), name)
        for name in ("scale", "bias")
    ]
    dims = ["N", CHANNELS, *sizes]
    graph = helper.make_graph(
        [
            helper.make_node("GroupNormalization", ["x", "scale", "bias"], ["n"], **attributes),
            helper.make_node("Relu", ["n"], ["y"]),
        ],
        "norm",
        [helper.make_tensor_value_info("x", dtype, dims)],
        [helper.make_tensor_value_info("y", dtype, dims)],
        weights,
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))


def drawn(*shape: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(sum(shape))
    return {"x": (3 + 2 * generator.standard_normal(shape)).astype(np.float32)}


def expected(model: ir.Model, x: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    """The definition, in float64."""
    scale, bias = (
        model.graph.initializers[name].const_value.numpy().astype(np.float64)
        for name in ("scale", "bias")
    )
    rows = x.astype(np.float64).reshape(len(x), groups, -1)
    rows = rows - rows.mean(-1, keepdims=True)
    rows /= np.sqrt((rows**2).mean(-1, keepdims=True) + epsilon)
    per_channel = (CHANNELS, *([1] * (x.ndim - 2)))
    result = rows.reshape(x.shape) * scale.reshape(per_channel) + bias.reshape(per_channel)
    return np.maximum(result, 0)


@pytest.mark.parametrize("sizes", [(7,), (5, 4), (2, 3, 5)])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_lowered_norm_equals_its_definition(sizes: tuple[int, ...], groups: int) -> None:
    model = norm(sizes, groups=groups)
    lowered = model.clone()
    assert lower_group_norm(lowered) == 1
    assert "GroupNormalization" not in kinds(lowered)
    assert "Shape" not in kinds(lowered), "fixed sizes need no run-time shape"
    inputs = drawn(3, CHANNELS, *sizes)
    reference = expected(model, inputs["x"], groups, 1e-5)
    found = run_model(lowered, inputs)["y"]
    assert np.abs(found - reference).max() <= 2e-6 * np.abs(reference).max()


def test_lowered_norm_equals_the_operator_with_free_sizes_and_another_epsilon() -> None:
    model = norm(("H", "W"), epsilon=0.3)
    lowered = model.clone()
    assert lower_group_norm(lowered) == 1
    for shape in ((2, CHANNELS, 5, 4), (1, CHANNELS, 3, 9)):
        inputs = drawn(*shape)
        found = run_model(lowered, inputs)["y"]
        reference = expected(model, inputs["x"], 3, 0.3)
        assert np.abs(found - reference).max() <= 2e-6 * np.abs(reference).max()
        np.testing.assert_allclose(found, run_model(model, inputs)["y"], rtol=0, atol=1e-5)


def test_per_group_scales_of_old_opsets_are_left_alone() -> None:
    model = norm((4,), opset=18)
    assert lower_group_norm(model) == 0
    assert kinds(model) == ["GroupNormalization", "Relu"]


def test_other_precisions_are_left_alone() -> None:
    model = norm((4,), dtype=TensorProto.FLOAT16)
    assert lower_group_norm(model) == 0


def test_a_norm_of_unknown_rank_is_left_alone() -> None:
    model = norm((4,))
    model.graph.inputs[0].shape = None
    assert lower_group_norm(model) == 0


def test_a_graph_without_the_norm_does_not_change() -> None:
    model = norm((4, 4))
    lower_group_norm(model)
    before = kinds(model)
    assert lower_group_norm(model) == 0
    assert kinds(model) == before


def test_the_norm_may_be_the_graph_s_output_and_keeps_its_name() -> None:
    model = norm((4,))
    relu = next(node for node in model.graph if node.op_type == "Relu")
    model.graph.outputs[0] = relu.inputs[0]
    model.graph.remove(relu)
    name = model.graph.outputs[0].name
    assert lower_group_norm(model) == 1
    assert list(run_model(model, drawn(2, CHANNELS, 4))) == [name]


def test_two_norms_share_their_constants(traced: ir.Model) -> None:
    model = norm((4, 4))
    lower_group_norm(model)
    names = [name for name in model.graph.initializers if name.startswith("denoisert.")]
    contents = [model.graph.initializers[name].const_value.tobytes() for name in names]
    shapes = [tuple(model.graph.initializers[name].shape) for name in names]
    assert len({*zip(contents, shapes, strict=True)}) == len(names)
    lowered = traced.clone()
    assert lower_group_norm(lowered) == 1

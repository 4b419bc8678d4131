"""What constants determine is folded; weights stay where folding would only enlarge them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from denoisert.export.graph.dims import unify_dims
from denoisert.export.graph.fold_constants import fold_constants
from denoisert.export.graph.signature import Signature
from denoisert.runtime.engines.engine import Port
from tests.export.exported import SplitsTokens, SqueezesTokens, answer, drawn, exported, scripted
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of

LARGE = np.random.default_rng(0).standard_normal((48, 64)).astype(np.float32)


def fix_tokens(model: ir.Model, tokens: int) -> None:
    """Give the second axis of x and of the output one length, as a card does."""
    (result,) = model.graph.outputs
    found = result.shape
    rank = 3 if found is None else len(found)
    ports = (
        Port("x", "float32", ("lanes", tokens, 6)),
        Port(str(result.name), "float32", ("lanes", tokens, 6)[:rank]),
    )
    unify_dims(model, Signature("test", ports[:1], ports[1:], lambda *_: {}))


def weight_graph(*nodes: tuple[str, str], weight: np.ndarray, **attributes: object) -> ir.Model:
    """x times what one node makes of a weight."""
    ((kind, result),) = nodes
    return graph_of(
        [make_node(kind, ["w"], [result], **attributes), make_node("MatMul", ["x", result], ["y"])],
        {"x": ("n", 64)},
        {"y": ("n", 48)},
        {"w": weight},
    )


def test_a_branch_that_the_sizes_decide_goes() -> None:
    module = SqueezesTokens()
    model = scripted(module)
    assert "If" in kinds(model), "the older exporter asks at run time whether the axis has size 1"
    fix_tokens(model, 4)
    assert fold_constants(model) > 0
    assert set(kinds(model)) <= {"Add", "Constant"}
    x = drawn(3, 4)
    (found,) = run_model(model, {"x": x}).values()
    np.testing.assert_array_equal(found, answer(module, x))


def test_a_sequence_of_known_length_becomes_a_split() -> None:
    module = SplitsTokens()
    model = exported(module)
    assert {"SplitToSequence", "SequenceAt"} <= set(kinds(model))
    fix_tokens(model, 4)
    assert fold_constants(model) > 0
    assert not {"SplitToSequence", "SequenceAt"} & set(kinds(model))
    x = drawn(3, 4)
    (found,) = run_model(model, {"x": x}).values()
    np.testing.assert_array_equal(found, answer(module, x))


def test_arithmetic_of_constants_is_done() -> None:
    nodes = [
        make_node("Range", ["zero", "end", "one"], ["numbers"]),
        make_node("Mul", ["numbers", "factor"], ["scaled"]),
        make_node("Exp", ["scaled"], ["frequencies"]),
        make_node("Mul", ["x", "frequencies"], ["y"]),
    ]
    numbers = {"zero": 0.0, "end": 8.0, "one": 1.0, "factor": -0.5}
    weights = {name: np.array(value, np.float32) for name, value in numbers.items()}
    model = graph_of(nodes, {"x": ("n", 8)}, {"y": ("n", 8)}, weights)
    assert fold_constants(model) == 3
    assert kinds(model) == ["Mul"]
    x = np.ones((2, 8), np.float32)
    expected = np.exp(-0.5 * np.arange(8))
    np.testing.assert_allclose(run_model(model, {"x": x})["y"][1], expected, rtol=1e-6)


def test_a_weight_that_is_only_turned_is_turned_here() -> None:
    model = weight_graph(("Transpose", "t"), weight=LARGE)
    assert fold_constants(model) == 1
    assert kinds(model) == ["MatMul"]
    assert [tuple(value.shape) for value in model.graph.initializers.values()] == [(64, 48)]
    x = np.ones((2, 64), np.float32)
    np.testing.assert_allclose(run_model(model, {"x": x})["y"], x @ LARGE.T, rtol=1e-4)


def test_a_narrow_weight_is_not_widened() -> None:
    half = np.ascontiguousarray(LARGE.T.astype(np.float16))
    model = weight_graph(("Cast", "wide"), weight=half, to=TensorProto.FLOAT)
    assert fold_constants(model) == 0
    assert model.graph.initializers["w"].dtype is ir.DataType.FLOAT16


def test_a_wide_weight_is_narrowed() -> None:
    double = np.ascontiguousarray(LARGE.T.astype(np.float64))
    model = weight_graph(("Cast", "narrow"), weight=double, to=TensorProto.FLOAT)
    assert fold_constants(model) == 1
    assert [value.dtype for value in model.graph.initializers.values()] == [ir.DataType.FLOAT]


def test_a_weight_that_others_read_is_not_copied() -> None:
    nodes = [
        make_node("Transpose", ["w"], ["t"]),
        make_node("MatMul", ["x", "t"], ["inner"]),
        make_node("MatMul", ["inner", "w"], ["y"]),
    ]
    model = graph_of(nodes, {"x": ("n", 64)}, {"y": ("n", 64)}, {"w": LARGE})
    assert fold_constants(model) == 0
    assert list(model.graph.initializers) == ["w"]


@pytest.mark.parametrize(
    ("kind", "sources"),
    [("Expand", ["row", "sizes"]), ("ConstantOfShape", ["sizes"])],
)
def test_nothing_becomes_much_larger(kind: str, sources: list[str]) -> None:
    nodes = [make_node(kind, sources, ["large"]), make_node("Add", ["x", "large"], ["y"])]
    weights = {"row": np.ones((1, 512), np.float32), "sizes": np.array([512, 512])}
    used = {name: weights[name] for name in sources}
    model = graph_of(nodes, {"x": ("n", 512, 512)}, {"y": ("n", 512, 512)}, used)
    assert fold_constants(model) == 0
    assert kinds(model) == [kind, "Add"]


def test_weights_outside_are_not_read_unless_they_are_folded(tmp_path: Path) -> None:
    model = weight_graph(("Transpose", "t"), weight=LARGE)
    (tmp_path / "weights.bin").write_bytes(LARGE.tobytes())

    def outside(location: str) -> ir.ExternalTensor:
        shape = ir.Shape(LARGE.shape)
        return ir.ExternalTensor(
            location, 0, LARGE.nbytes, ir.DataType.FLOAT, shape=shape, name="w", base_dir=tmp_path
        )

    model.graph.initializers["w"].const_value = outside("weights.bin")
    kept = graph_of(
        [make_node("MatMul", ["x", "w"], ["y"])], {"x": ("n", 48)}, {"y": None}, {"w": LARGE}
    )
    kept.graph.initializers["w"].const_value = outside("is not there.bin")
    assert fold_constants(kept) == 0
    assert fold_constants(model) == 1
    (turned,) = model.graph.initializers.values()
    np.testing.assert_array_equal(turned.const_value.numpy(), LARGE.T)


def test_the_same_graph_folds_to_the_same_graph() -> None:
    whole, texts = scripted(SqueezesTokens()), set()
    for _ in range(3):
        model = whole.clone()
        fix_tokens(model, 4)
        fold_constants(model)
        texts.add(ir.to_proto(model).SerializeToString(deterministic=True))
    assert len(texts) == 1


def test_a_graph_without_constants_stays_as_it_is() -> None:
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("Add", ["r", "x"], ["y"])]
    model = graph_of(nodes, {"x": ("n", 4)}, {"y": ("n", 4)})
    assert fold_constants(model) == 0
    assert kinds(model) == ["Relu", "Add"]

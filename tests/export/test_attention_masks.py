"""Masks of one row for all queries, which ONNX Runtime does not take as the standard says."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from denoisert.export.graph.attention_masks import spread_masks
from denoisert.runtime.errors import ExportError
from tests.export.exported import MasksTokens, answer, drawn, exported
from tests.export.running import kinds, run_model
from tests.export.small_graphs import graph_of


def test_an_export_with_padding_runs_afterwards() -> None:
    module = MasksTokens()
    model = exported(module)
    with pytest.raises(ExportError, match="inconsistent q_sequence_length"):
        run_model(model, {"x": drawn(2, 4)})
    assert spread_masks(model) == 1
    for x in (drawn(2, 4), drawn(3, 7)):
        (found,) = run_model(model, {"x": x}).values()
        np.testing.assert_allclose(found, answer(module, x), atol=1e-6)


def masked(mask: tuple[int | str, ...], query: tuple[int | str, ...], **heads: int) -> ir.Model:
    """Attention of three operands alike, with a float mask."""
    nodes = [make_node("Attention", ["q", "k", "v", "mask"], ["y"], **heads)]
    sizes = {"q": query, "k": query, "v": query, "mask": mask}
    return graph_of(nodes, sizes, {"y": None}, opset=23)


def test_three_axes_and_a_fixed_number_of_queries() -> None:
    model = masked(("n", 1, 1, 5), ("n", 5, 8), q_num_heads=2, kv_num_heads=2)
    assert spread_masks(model) == 1
    generator = np.random.default_rng(1)
    rows = {name: generator.standard_normal((2, 5, 8)).astype(np.float32) for name in "qkv"}
    mask = generator.standard_normal((2, 1, 1, 5)).astype(np.float32)
    whole = masked(("n", 1, 5, 5), ("n", 5, 8), q_num_heads=2, kv_num_heads=2)
    expected = run_model(whole, {**rows, "mask": np.repeat(mask, 5, axis=2)})["y"]
    np.testing.assert_array_equal(run_model(model, {**rows, "mask": mask})["y"], expected)


@pytest.mark.parametrize(
    "model",
    [
        masked(("n", 1, 5, 5), ("n", 2, 5, 4)),
        masked(("n", 1, 1, 1), ("n", 2, 1, 4)),
        graph_of(
            [make_node("Attention", ["q", "q", "q"], ["y"])],
            {"q": ("n", 2, 5, 4)},
            {"y": None},
            opset=23,
        ),
        graph_of(
            [make_node("Relu", ["x"], ["y"])],
            {"x": ("n", 1)},
            {"y": ("n", 1)},
            kinds={"x": TensorProto.FLOAT},
        ),
    ],
)
def test_whole_masks_one_query_and_no_mask_stay(model: ir.Model) -> None:
    before = kinds(model)
    assert spread_masks(model) == 0
    assert kinds(model) == before

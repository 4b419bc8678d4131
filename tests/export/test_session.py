"""ONNX Runtime's refusals become our errors, with its words and without its codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from denoisert.export.targets.session import open_graph, open_reference
from denoisert.runtime.errors import ExportError, UnsupportedOperator
from tests.export.foreign import CHANNELS, SIZE, denoiser, point_outside, save, weight_of


def picture_decoder() -> onnx.ModelProto:
    """An operator of the standard that ONNX Runtime does not have on a CPU."""
    graph = helper.make_graph(
        [helper.make_node("ImageDecoder", ["x"], ["y"])],
        "decoder",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, ["h", "w", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_an_operator_without_a_kernel_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperator, match="ImageDecoder") as caught:
        open_graph(picture_decoder().SerializeToString(), tmp_path, "decoder")
    assert "[ONNXRuntimeError]" not in str(caught.value)
    path = save(picture_decoder(), tmp_path / "decoder.onnx")
    with pytest.raises(UnsupportedOperator, match=r"decoder\.onnx"):
        open_reference(path)


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="refuses broken"):
        open_graph(b"no graph", tmp_path, "broken")


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    model = denoiser()
    point_outside(weight_of(model), "weights/absent.safetensors", offset="0", length="1600")
    with pytest.raises(ExportError, match="refuses lost"):
        open_graph(model.SerializeToString(), tmp_path, "lost")


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    evaluate = open_graph(denoiser().SerializeToString(), tmp_path, "small")
    wrong = {
        "x": np.zeros((2, CHANNELS, SIZE + 1), np.float32),
        "time": np.zeros(2, np.float32),
    }
    with pytest.raises(ExportError, match="cannot run small"):
        evaluate(wrong)

"""OpenVINO multiplies in integers from the graph that `quantise` leaves, lane by lane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import openvino
import pytest

from denoisert.export.precision.int8 import quantise
from denoisert.export.targets.session import open_reference
from tests.export.precision.block import apart, block, drawn
from tests.export.running import Arrays, run_model

GROUP = 128
LANES = 8


class Compiled:
    """A graph on OpenVINO with one thread, in float32 but for what is dynamically quantised."""

    def __init__(self, graph: Path, group: int) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": 1,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
        }
        self._compiled = openvino.Core().compile_model(graph, "CPU", settings)

    def run(self, inputs: Arrays) -> np.ndarray:
        return np.array(self._compiled(inputs)[0])


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = block()
    quantise(model)
    path = tmp_path_factory.mktemp("int8") / "block.onnx"
    ir.save(model, path)
    return path


@pytest.fixture(scope="module")
def compiled(graph: Path) -> Compiled:
    return Compiled(graph, GROUP)


def test_answers_are_near_those_in_float32(compiled: Compiled) -> None:
    inputs = drawn(4)
    assert 1e-4 < apart(compiled.run(inputs), run_model(block(), inputs)["y"]) < 2e-2


def test_the_other_operand_is_quantised_only_where_it_has_groups(
    graph: Path, compiled: Compiled
) -> None:
    inputs = drawn(2)
    weights_alone = open_reference(graph)(inputs)["y"]
    assert apart(Compiled(graph, 0).run(inputs), weights_alone) < 1e-5
    assert apart(compiled.run(inputs), weights_alone) > 1e-3


@pytest.mark.parametrize("lanes", range(1, LANES))
def test_a_lane_is_bitwise_the_same_in_any_company(compiled: Compiled, lanes: int) -> None:
    inputs = drawn(LANES)
    whole = compiled.run(inputs)
    for first in range(0, LANES - lanes + 1, lanes):
        part = {name: value[first : first + lanes] for name, value in inputs.items()}
        assert np.array_equal(compiled.run(part), whole[first : first + lanes])

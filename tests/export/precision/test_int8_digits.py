"""Trained weights in int8: digits keeps its predictions, and lanes keep to themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.precision.int8 import quantise
from denoisert.export.precision.token_scales import scale_tokens
from denoisert.export.targets.session import Evaluate, open_graph
from tests.export.precision.block import apart
from tests.export.running import Arrays

LANES = 6
BLOCKS = 4
EACH = 3
"""Products of a block that are large enough: query, key and value in one, into and out of the
middle. The modulation of a block this narrow is not."""


def opened(bundle: Path, model: ir.Model) -> Evaluate:
    return open_graph(ir.to_proto(model).SerializeToString(), bundle, "digits")


@pytest.fixture(scope="module")
def inputs() -> Arrays:
    draw = np.random.default_rng(4)
    return {
        "latent": draw.standard_normal((LANES, 1, 16, 16)).astype(np.float32),
        "time": np.linspace(0.05, 1.0, LANES).astype(np.float32),
        "label": np.arange(LANES),
    }


@pytest.fixture(scope="module")
def graph(digits_bundle: Path) -> ir.Model:
    model = ir.load(digits_bundle / "graphs" / "denoiser.onnx")
    lower_attention(model)
    return model


@pytest.fixture(scope="module")
def narrow(digits_bundle: Path, graph: ir.Model) -> Evaluate:
    model = graph.clone()
    for value in model.graph.initializers.values():  # locations are relative to the bundle
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value.base_dir = digits_bundle
    assert quantise(model) == scale_tokens(model) == BLOCKS * EACH
    return opened(digits_bundle, model)


def test_predictions_are_near_those_in_float32(
    digits_bundle: Path, graph: ir.Model, narrow: Evaluate, inputs: Arrays
) -> None:
    expected = opened(digits_bundle, graph)(inputs)["velocity"]
    assert 1e-4 < apart(narrow(inputs)["velocity"], expected) < 8e-3


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_a_lane_is_bitwise_the_same_in_any_company(
    narrow: Evaluate, inputs: Arrays, lanes: int
) -> None:
    whole = narrow(inputs)["velocity"]
    for first in range(LANES - lanes + 1):
        part = {name: value[first : first + lanes] for name, value in inputs.items()}
        assert np.array_equal(narrow(part)["velocity"], whole[first : first + lanes])


def test_a_lane_does_not_feel_that_another_is_loud(narrow: Evaluate, inputs: Arrays) -> None:
    loud = {name: value.copy() for name, value in inputs.items()}
    loud["latent"][1:] *= 1e4
    found, whole = narrow(loud)["velocity"], narrow(inputs)["velocity"]
    assert np.array_equal(found[0], whole[0])
    assert not np.array_equal(found[1], whole[1])

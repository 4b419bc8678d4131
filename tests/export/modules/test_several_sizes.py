"""One graph serves two sizes: it equals the module at both, each attention is one operator."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx_ir as ir
import pytest

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.group_norm import lower_group_norm
from denoisert.export.graph.ports import check_ports, read_ports
from denoisert.export.graph.trace import example_sizes, trace
from denoisert.export.parity import relative_error
from denoisert.export.sources.module import evaluate_module
from tests.export.modules.ported import SIZES, Ported, ported
from tests.export.running import run_model

NAMES = [
    "dit",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("decoder", "encoder", "flux", "pixart", "pixels", "sd3", "unet")
    ),
]
ATTENTIONS = {
    "decoder": 1,
    "encoder": 1,
    "dit": 2,
    "flux": 2,
    "pixart": 4,
    "pixels": 4,
    "sd3": 3,
    "unet": 8,
}


@cache
def traced(name: str) -> tuple[Ported, ir.Model]:
    found = ported(name)
    return found, trace(found.module, found.signature)


def worst(found: Ported, model: ir.Model, lanes: int = 3) -> float:
    """Largest relative error at both sizes."""
    errors = []
    for sizes in found.signature.sizes:
        inputs = found.signature.draw(lanes, np.random.default_rng(lanes), sizes)
        outputs = run_model(model, inputs)
        expected = evaluate_module(found.module, found.signature.output_names, inputs)
        errors += [relative_error(outputs[key], value) for key, value in expected.items()]
    return max(errors)


@pytest.mark.parametrize("name", NAMES)
def test_one_graph_serves_both_sizes(name: str) -> None:
    found, model = traced(name)
    check_ports(found.signature, read_ports(model.graph.inputs), read_ports(model.graph.outputs))
    assert worst(found, model) < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_attention_is_one_operator(name: str) -> None:
    _, model = traced(name)
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("Attention") == ATTENTIONS[name]
    assert "Softmax" not in kinds


@pytest.mark.parametrize("name", NAMES)
def test_lowered_for_onnx_runtime_it_still_serves_both(name: str) -> None:
    found, model = traced(name)
    lowered = model.clone()
    rewritten = lower_attention(lowered)
    lower_group_norm(lowered)
    assert rewritten == (0 if name in ("flux", "sd3") else ATTENTIONS[name])
    assert "GroupNormalization" not in {node.op_type for node in lowered.graph}
    assert worst(found, lowered) < 1e-4


def test_height_and_width_of_an_example_differ() -> None:
    found = ported("dit")
    assert example_sizes(found.signature) in (
        {"height": 12, "width": 8},
        {"height": 8, "width": 12},
    )
    assert SIZES[0]["height"] == SIZES[0]["width"]

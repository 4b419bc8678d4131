"""Tiny networks of many families through the project's own export: parity and live inputs."""

import onnx_ir as ir
import pytest
import torch

from denoisert.export.graph.trace import trace
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.engines.torch.operators import OPERATORS
from tests.export.diffusers_tiny import redrawn
from tests.runtime.engines.torch.families import FAMILIES, signature_of
from tests.runtime.engines.torch.graphs import outputs_of, relative
from tests.runtime.engines.torch.parity import (
    check_inputs_count,
    check_parity,
    draw_inputs,
    operators_of,
    pair_of,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of diffusers and transformers while tracing
]
HALF_BOUND = {"float16": 2e-2, "bfloat16": 1.5e-1}
"""As for the bundles, and twice as much: random weights here are not scaled for their depth."""


@pytest.fixture(scope="module", params=FAMILIES)
def graph(request, tmp_path_factory):
    """One exported file; its weights are inside."""
    torch.manual_seed(11)
    module = redrawn(FAMILIES[request.param]())
    path = tmp_path_factory.mktemp(request.param) / "graph.onnx"
    ir.save(trace(module, signature_of(module)), path)
    return path


@pytest.mark.parametrize("lanes", [1, 3])
def test_float32_equals_onnx_runtime(lanes, graph):
    check_parity(pair_of(graph, graph.parent), lanes)


def test_every_input_counts(graph):
    check_inputs_count(TorchEngine(graph, graph.parent))


def test_operators_in_use_are_known(graph):
    assert operators_of(graph) <= set(OPERATORS)


@pytest.mark.parametrize("dtype", HALF_BOUND)
def test_half_types_stay_close_to_float64(dtype, graph):
    exact = TorchEngine(graph, graph.parent, dtype="float64")
    given = draw_inputs(exact, 2, seed=5)
    wanted = outputs_of(exact, 2, given)
    engine = TorchEngine(graph, graph.parent, dtype=dtype)
    kinds = {port.name: getattr(torch, port.dtype) for port in engine.inputs}
    found = outputs_of(engine, 2, {name: x.to(kinds[name]) for name, x in given.items()})
    for name, tensor in wanted.items():
        error = relative(found[name], tensor)
        assert 0 < error < HALF_BOUND[dtype], (name, error)

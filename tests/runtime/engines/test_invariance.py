"""What is stated about lanes is measured for every target that computes on a CPU."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir
import pytest

from denoisert.export.batches import LANES, companies, largest_change, part_of
from denoisert.export.precision.int8 import quantise
from denoisert.export.precision.token_scales import scale_tokens
from denoisert.export.targets.trial import evaluate
from denoisert.runtime.engines.invariance import STATEMENTS, UNTRIED, Bits, statement
from denoisert.runtime.engines.loading import open_engine
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.target import (
    COMPILED,
    OnnxRuntime,
    OpenVino,
    TensorRt,
    TensorRtRtx,
    Torch,
)
from tests.export.precision.block import block, drawn
from tests.runtime.engines.openvino_graphs import convert

ON_CPU = [
    OnnxRuntime(),
    OnnxRuntime("int8"),
    OpenVino("float32"),
    OpenVino("bfloat16"),
    OpenVino("int8"),
]


def engine_of(target, folder):
    """The block as a target's engine, opened as a bundle's is."""
    model = block()
    if target.dtype == "int8":
        assert quantise(model) > 0
    if target == OnnxRuntime("int8"):
        assert scale_tokens(model) > 0
    graph = folder / "block.onnx"
    graph.write_bytes(ir.to_proto(model).SerializeToString())
    if isinstance(target, OnnxRuntime):
        return OrtEngine(graph, folder, threads=2)
    narrowed = "float32" if target.dtype == "int8" else target.dtype
    made = convert(graph, folder, folder / "openvino", narrowed)
    path = made.xml.relative_to(folder).as_posix()
    return open_engine(folder, replace(made.entry, path=path, dtype=target.dtype), target, 2)


def test_every_statement_about_a_cpu_is_measured_here():
    assert {(target.name, target.dtype) for target in ON_CPU} == set(STATEMENTS)


@pytest.mark.parametrize("target", ON_CPU, ids=repr)
def test_a_lane_is_what_is_stated(target, tmp_path):
    """Lanes of very different sizes, alone and in batches of 2, 4 and 8, at both ends."""
    engine, inputs = engine_of(target, tmp_path), drawn(LANES)
    whole, places = companies(engine.buckets)
    batch = evaluate(engine, inputs)
    parts = [(place, evaluate(engine, part_of(inputs, place))) for place in places]
    assert (whole, len(places)) == (LANES, 6)
    assert statement(target).bits is Bits.SAME
    assert largest_change(batch, parts) == 0.0
    engine.close()


def test_a_rule_of_the_measure_is_that_it_can_fail(tmp_path):
    """The same lanes, but those at the end take the place of those at the beginning."""
    engine, inputs = engine_of(OnnxRuntime(), tmp_path), drawn(LANES)
    batch = evaluate(engine, inputs)
    first, last = companies(engine.buckets)[1][:2]
    wrong = [(first, evaluate(engine, part_of(inputs, last)))]
    assert largest_change(batch, wrong) > 1e-3
    engine.close()


@pytest.mark.parametrize(
    "target",
    [TensorRtRtx(), TensorRt("float32"), OnnxRuntime("float16", "cuda"), Torch("cpu"), Torch()],
    ids=repr,
)
def test_what_nobody_measured_is_not_promised(target):
    assert statement(target) == UNTRIED
    assert "perhaps not" in str(statement(target))


def test_every_dtype_of_every_target_has_a_statement():
    for kind in COMPILED.values():
        for dtype in kind.dtypes:
            device = {"device": "cuda"} if (kind, dtype) == (OnnxRuntime, "float16") else {}
            found = statement(kind(dtype, **device))
            assert str(found) == f"{found.bits.value} ({found.basis})"

"""What stays float32: numbers out of range, then the first layers; and an error with names."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from denoisert.export.parity import Trial
from denoisert.export.precision.budget import BUDGETS, fit
from denoisert.export.precision.comparison import Comparison
from denoisert.export.precision.rewrite import name_of, narrow
from denoisert.runtime.errors import InvalidInput, ParityError
from tests.export.precision.narrowed import (
    FLOAT,
    HALVES,
    block,
    check_typed,
    dtypes,
    graph_of,
    trials_of,
)
from tests.export.running import run_model
from tests.runtime.engines.torch.graphs import node, weight

EACH = pytest.mark.parametrize("dtype", list(HALVES))
TOKENS = {"x": ["lanes", 3, 8]}, {"y": ["lanes", 3, 8]}


def compared(model: ir.Model, dtype: str, folder: Path, trials=None) -> Comparison:
    return Comparison(model, folder, dtype, trials or trials_of(model), folder)


def loud(gain: float = 3e4) -> ir.Model:
    """A residual stream like that of T5: far beyond 65504, and calm again behind a norm."""
    nodes = [
        node("MatMul", "x w1", "a"),
        node("Mul", "a gain", "b"),
        node("Add", "x b", "c"),
        node("RMSNormalization", "c scale", "d"),
        node("MatMul", "d w2", "e"),
        node("Add", "c e", "f"),
        node("RMSNormalization", "f scale", "g"),
        node("MatMul", "g w3", "y"),
    ]
    weights = {name: weight(8, 8, seed=i) for i, name in enumerate(("w1", "w2", "w3"))}
    return graph_of(nodes, *TOKENS, weights | {"gain": np.float32(gain), "scale": weight(8)})


def steep() -> ir.Model:
    """Behind the first layer a difference of large numbers, and seven calm layers behind that."""
    nodes = [
        node("MatMul", "x w0", "a0"),
        node("Add", "a0 offset", "b0"),
        node("Sub", "b0 offset", "c0"),
    ]
    for i in range(1, 8):
        nodes += [node("MatMul", f"c{i - 1} w{i}", f"a{i}"), node("Tanh", f"a{i}", f"c{i}")]
    nodes.append(node("Neg", "c7", "y"))
    weights = {f"w{i}": weight(8, 8, seed=i) / 4 for i in range(8)}
    return graph_of(nodes, *TOKENS, weights | {"offset": np.float32(200)})


@EACH
def test_a_calm_graph_is_half_throughout(dtype: str, tmp_path: Path) -> None:
    found = fit("denoiser", compared(block(), dtype, tmp_path))
    assert found.keep == found.out_of_range == frozenset()
    (attempt,) = found.attempts
    assert attempt.first == attempt.weight_bytes == 0
    assert 0 < attempt.error <= BUDGETS[dtype] == found.bound
    assert (found.component, found.dtype) == ("denoiser", dtype)
    assert list(tmp_path.iterdir()) == [], "copies do not stay on the disk"


def test_bfloat16_has_three_bits_less(tmp_path: Path) -> None:
    errors = {
        dtype: compared(block(), dtype, tmp_path).measure().error
        for dtype in ("float16", "bfloat16")
    }
    assert 3 < errors["bfloat16"] / errors["float16"] < 20
    layers = compared(block(), "float16", tmp_path).measure().layers
    rough = {
        layer.name: layer for layer in compared(block(), "bfloat16", tmp_path).measure().layers
    }
    for layer in layers:
        assert 8 < layer.snr_db - rough[layer.name].snr_db < 28
        assert layer.flops == rough[layer.name].flops > 0


def test_numbers_out_of_range_stay_float32_with_all_that_read_them(tmp_path: Path) -> None:
    model = loud()
    comparison = compared(model, "float16", tmp_path)
    assert not isfinite(comparison.measure().error), "without the rule it overflows"
    found = fit("text", comparison)
    assert found.out_of_range == {"b", "c", "d", "f", "g"}
    assert found.keep == found.out_of_range
    assert found.measured.error <= BUDGETS["float16"]
    copy = model.clone()
    narrow(copy, "float16", found.keep)
    check_typed(copy)
    kinds = dtypes(copy)
    assert {name for name in "abcdefg" if kinds[name] is FLOAT} == set("bcdfg")
    assert kinds["a"] is kinds["e"] is HALVES["float16"]


def test_bfloat16_has_the_range_of_float32(tmp_path: Path) -> None:
    comparison = compared(loud(), "bfloat16", tmp_path)
    assert comparison.out_of_range() == frozenset()
    assert isfinite(comparison.measure().error)


def test_a_margin_is_left_for_inputs_that_were_not_tried(tmp_path: Path) -> None:
    biggest = np.abs(run_model(loud(), trials_of(loud())[0].inputs)["y"]).max()
    assert biggest < 1e3
    stream = [node("MatMul", "x w", "a"), node("Mul", "a gain", "b"), node("Tanh", "b", "y")]
    w = np.eye(8, dtype=np.float32)

    def keeps(size: float) -> frozenset[str]:
        model = graph_of(stream, *TOKENS, {"w": w, "gain": np.float32(1)})
        inputs = {"x": np.full((1, 3, 8), size, np.float32)}
        trial = Trial(inputs, run_model(model, inputs))
        return compared(model, "float16", tmp_path, (trial,)).out_of_range()

    assert keeps(10000) == frozenset()
    assert keeps(20000) == {"a", "b", "y"}


def test_masks_are_no_numbers_out_of_range(tmp_path: Path) -> None:
    lowest = np.float32(np.finfo(np.float32).min)
    nodes = [
        node("Cast", "i_mask", "told", to=1),
        node("Mul", "told lowest", "bias"),
        node("Add", "x bias", "scores"),
        node("Softmax", "scores", "shares", axis=-1),
        node("MatMul", "shares w", "y"),
    ]
    ports = {**TOKENS[0], "i_mask": ["lanes", 3, 8]}, TOKENS[1]
    model = graph_of(nodes, *ports, {"lowest": lowest, "w": weight(8, 8)})
    trial = trials_of(model)[1]
    trial.inputs["i_mask"][:] = np.arange(8) > 4
    trial = replace(trial, expected=run_model(model, trial.inputs))
    found = fit("denoiser", compared(model, "float16", tmp_path, (trial,)))
    assert found.keep == frozenset()


@EACH
def test_the_first_layers_stay_float32_until_the_error_fits(dtype: str, tmp_path: Path) -> None:
    model = steep()
    comparison = compared(model, dtype, tmp_path)
    bare = comparison.measure().error
    found = fit("denoiser", comparison, bound=bare / 4)
    first, *_, last = found.attempts
    assert first.error == pytest.approx(bare)
    assert first.first == 0 < last.first <= 2
    assert last.error <= bare / 4 < first.error
    assert {"a0"} <= found.keep < {name_of(each) for each in model.graph}
    assert last.weight_bytes == last.first * 4 * 64
    assert [attempt.first for attempt in found.attempts] == [0, 1, 2, 4][: len(found.attempts)]


def test_a_prefix_ends_with_the_layer_that_it_counts(tmp_path: Path) -> None:
    comparison = compared(steep(), "float16", tmp_path)
    assert comparison.prefix(0) == frozenset()
    assert comparison.prefix(1) == {"a0"}
    assert comparison.prefix(2) == {"a0", "b0", "c0", "a1"}
    assert comparison.prefix(99) == {name_of(each) for each in steep().graph}


@EACH
def test_all_in_float32_is_the_source(dtype: str, tmp_path: Path) -> None:
    model = steep()
    comparison = compared(model, dtype, tmp_path)
    found = comparison.measure([name_of(each) for each in model.graph])
    assert found.error < 1e-5
    assert found.layers[0].snr_db > 90


@EACH
def test_an_error_that_does_not_fit_names_the_worst_layers(dtype: str, tmp_path: Path) -> None:
    comparison = compared(steep(), dtype, tmp_path)
    with pytest.raises(ParityError) as caught:
        fit("decoder", comparison, bound=1e-9)
    message = str(caught.value)
    assert message.startswith(f"the decoder in {dtype} differs from the model by ")
    assert "at most 1e-09 is accepted" in message
    worst = comparison.measure(comparison.prefix(8)).layers
    assert "Its noisiest layers: MatMul 'a" in message
    assert message.count(" dB)") == 5 < len(worst)
    other = "bfloat16 or float32" if dtype == "float16" else "float32"
    assert message.endswith(f"Compile it in {other}.")


def test_a_source_of_other_numbers_does_not_fit(tmp_path: Path) -> None:
    """The errors are those against the trials' answers, not against the graph's own."""
    model = block()
    wrong = [
        Trial(each.inputs, {"y": 1.1 * each.expected["y"]})
        for each in trials_of(model, counts=(2,))
    ]
    comparison = compared(model, "float16", tmp_path, wrong)
    assert comparison.measure().errors["y"] == pytest.approx(1 / 11, rel=0.1)
    with pytest.raises(ParityError):
        fit("denoiser", comparison)


def test_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'float8' asked for"):
        compared(block(), "float8", tmp_path)

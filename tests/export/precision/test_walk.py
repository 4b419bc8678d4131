"""A graph node by node: values, their types, one rounding each, and nothing kept too long."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from denoisert.export.parity import Trial
from denoisert.export.precision.rewrite import narrow
from denoisert.export.precision.walk import Walk
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.errors import BuildError
from tests.export.precision.narrowed import HALVES, block, dtypes, graph_of, trials_of
from tests.runtime.engines.torch.graphs import node, weight

EACH = pytest.mark.parametrize("dtype", list(HALVES))


def saved(model: ir.Model, folder: Path) -> Path:
    path = folder / "graph.onnx"
    onnx.save(ir.to_proto(model), path)
    return path


def walked(model: ir.Model, folder: Path, trial: Trial) -> dict[str, torch.Tensor]:
    walk = Walk(saved(model, folder), folder)
    return {each.name: each.tensor for each in walk.values(walk.program(trial), trial)}


def test_float32_equals_onnx_runtime(tmp_path: Path) -> None:
    model = block()
    for trial in trials_of(model):
        found = walked(model, tmp_path, trial)["y"].numpy()
        wanted = trial.expected["y"]
        assert np.abs(found - wanted).max() < 2e-6 * np.abs(wanted).max()


@EACH
def test_every_value_has_the_type_of_the_file(dtype: str, tmp_path: Path) -> None:
    model = block()
    trial = trials_of(model)[1]
    narrow(model, dtype)
    names = {kind: kind.name.lower() for kind in HALVES.values()}
    names[ir.DataType.FLOAT] = "float32"
    found = walked(model, tmp_path, trial)
    written = {name: getattr(torch, names[kind]) for name, kind in dtypes(model).items()}
    assert {name: tensor.dtype for name, tensor in found.items()} == written


@EACH
def test_a_result_is_rounded_once(dtype: str, tmp_path: Path) -> None:
    nodes = [node("Mul", "x w", "a"), node("Gelu", "a", "b"), node("MatMul", "b m", "y")]
    weights = {"w": weight(6), "m": weight(6, 5)}
    model = graph_of(nodes, {"x": ["lanes", 6]}, {"y": ["lanes", 5]}, weights)
    trial = trials_of(model)[1]
    narrow(model, dtype)
    found = walked(model, tmp_path, trial)
    kind = getattr(torch, dtype)

    def rounded(values: torch.Tensor) -> torch.Tensor:
        return values.float().to(kind)

    def exact(values: torch.Tensor) -> torch.Tensor:
        return values.double()

    x, w, m = (rounded(torch.from_numpy(v)) for v in (trial.inputs["x"], *weights.values()))
    assert torch.equal(found["a"], rounded(exact(x) * exact(w)))
    gelu = torch.nn.functional.gelu(found["a"].float())
    assert torch.equal(found["b"], rounded(gelu))
    product = rounded(exact(found["b"]) @ exact(m))
    assert torch.equal(found[f"y.{dtype}"], product)
    assert torch.equal(found["y"], product.float())


@EACH
def test_the_engine_computes_the_same_as_written(dtype: str, tmp_path: Path) -> None:
    """Torch's own half kernels round inside some operators; ten units is far below a wrong node."""
    model = block()
    trial = trials_of(model)[1]
    narrow(model, dtype)
    path = saved(model, tmp_path)
    engine = TorchEngine(path, tmp_path, dtype="written")
    buffers = {name: torch.from_numpy(array) for name, array in trial.inputs.items()}
    buffers["y"] = torch.full(trial.expected["y"].shape, float("nan"))
    engine.bind(2, buffers).run()
    found = walked(model, tmp_path, trial)["y"]
    unit = torch.finfo(getattr(torch, dtype)).eps
    assert (buffers["y"] - found).abs().max() < 10 * unit * found.abs().max()
    assert not torch.equal(found, torch.from_numpy(trial.expected["y"]))


def test_values_are_dropped_after_their_last_use(tmp_path: Path) -> None:
    nodes = [node("Neg", "x", "a"), *(node("Neg", p, n) for p, n in zip("abc", "bcd", strict=True))]
    nodes.append(node("Neg", "d", "y"))
    model = graph_of(nodes, {"x": ["lanes", 4]}, {"y": ["lanes", 4]})
    (trial,) = trials_of(model, counts=(2,))
    walk = Walk(saved(model, tmp_path), tmp_path)
    seen: list[weakref.ref] = []
    for each in walk.values(walk.program(trial), trial):
        seen.append(weakref.ref(each.tensor))
        del each
        gc.collect()
        assert sum(reference() is not None for reference in seen) <= 2


def test_shapes_of_what_a_node_read_come_with_its_value(tmp_path: Path) -> None:
    nodes = [node("Clip", "x  high", "a"), node("MatMul", "a w", "y")]
    nodes[0].input[:] = ["x", "", "high"]
    weights = {"high": np.float32(1), "w": weight(4, 3)}
    model = graph_of(nodes, {"x": ["lanes", 4]}, {"y": ["lanes", 3]}, weights)
    trial = trials_of(model)[1]
    walk = Walk(saved(model, tmp_path), tmp_path)
    shapes = {each.name: each.shapes for each in walk.values(walk.program(trial), trial)}
    assert shapes == {"a": ((2, 4), (), ()), "y": ((2, 4), (4, 3))}


def test_unknown_operators_are_refused_by_name(tmp_path: Path) -> None:
    model = graph_of([node("Det", "x", "y")], {"x": [1, 2, 2]}, {"y": [1]})
    with pytest.raises(BuildError, match="operator Det of 'y'"):
        Walk(saved(model, tmp_path), tmp_path)

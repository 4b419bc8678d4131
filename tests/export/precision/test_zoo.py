"""Whole models in half types: their errors, their types, and what TensorRT-RTX says to them."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from denoisert.export.bundle import write_weights
from denoisert.export.graph.externalise import externalise
from denoisert.export.graph.ports import read_ports
from denoisert.export.parity import relative_error
from denoisert.export.precision.budget import BUDGETS, Fit, fit
from denoisert.export.precision.comparison import Comparison
from denoisert.export.precision.rewrite import narrow
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.compiler import build
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.torch.engine import TorchEngine
from tests.export.families.bundles import family_bundle
from tests.export.precision.bundled import first_trial, loaded, signature_of
from tests.export.precision.narrowed import FLOAT, HALVES

EACH = pytest.mark.parametrize("dtype", list(HALVES))
FAMILIES = ("pixart_alpha", "sdxl")


def fitted(path: Path, component: str, dtype: str, folder: Path) -> tuple[ir.Model, Fit]:
    """A component, narrowed as far as its budget allows, with its weights in `folder`."""
    model = loaded(path, component)
    trials = first_trial(model, path, component)
    found = fit(component, Comparison(model, path, dtype, trials, folder))
    narrow(model, dtype, found.keep)
    externalise(model, folder, lambda tensors: write_weights(folder, tensors))
    onnx.save(ir.to_proto(model), folder / "graph.onnx")
    onnx.checker.check_model(folder / "graph.onnx", full_check=True)
    return model, found


def answer(engine: TorchEngine, inputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    """One output of an engine at any size."""
    (port,) = (port for port in engine.outputs if port.name == name)
    lanes = len(next(iter(inputs.values())))
    buffers = {key: torch.from_numpy(array) for key, array in inputs.items()}
    buffers[name] = torch.full(port.shape(lanes), float("nan"))
    engine.bind(lanes, buffers).run()
    return buffers[name].numpy()


@EACH
def test_digits_is_within_its_budget_and_every_input_counts(
    dtype: str, digits_bundle: Path, tmp_path: Path
) -> None:
    model, found = fitted(digits_bundle, "denoiser", dtype, tmp_path)
    assert found.keep == frozenset(), "a trained model needs nothing back"
    wide = [node for node in model.graph if any(v.dtype is FLOAT for v in node.outputs)]
    assert {node.op_type for node in wide} == {"Cast", "Concat", "Cos", "Mul", "Sin", "Unsqueeze"}
    assert sum(node.op_type == "Cast" for node in model.graph) == 3
    engine = TorchEngine(tmp_path / "graph.onnx", tmp_path, dtype="written")
    drawn = signature_of(digits_bundle, "denoiser").draw(4, np.random.default_rng(1))
    reference = loaded(digits_bundle, "denoiser")
    path = tmp_path / "whole.onnx"
    onnx.save(ir.to_proto(reference), path)
    whole = answer(TorchEngine(path, digits_bundle), drawn, "velocity")
    half = answer(engine, drawn, "velocity")
    assert 0 < relative_error(half, whole) <= BUDGETS[dtype]
    for name, array in drawn.items():
        turned = answer(engine, {**drawn, name: np.ascontiguousarray(array[::-1])}, "velocity")
        assert relative_error(turned, half) > 0.1, name


def test_weights_of_digits_take_half_of_the_bytes(digits_bundle: Path, tmp_path: Path) -> None:
    fitted(digits_bundle, "denoiser", "float16", tmp_path)
    sizes = [
        sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        for folder in (tmp_path, digits_bundle / "weights")
    ]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.02)


@EACH
@pytest.mark.slow
@pytest.mark.parametrize("component", ["denoiser", "decoder", "encoder", "text_encoder"])
def test_emoji_is_half_throughout(
    component: str, dtype: str, emoji_bundle: Path, tmp_path: Path
) -> None:
    _, found = fitted(emoji_bundle, component, dtype, tmp_path)
    assert found.keep == frozenset()
    assert found.measured.error <= BUDGETS[dtype] / 2, "trained models stay well below"
    assert found.measured.layers[0].snr_db > {"float16": 45, "bfloat16": 27}[dtype]
    assert _built(component, tmp_path) > 1_000_000


@EACH
@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_families_fit_and_compile(name: str, dtype: str, once, tmp_path: Path) -> None:
    path = family_bundle(once, name)
    for component in Bundle.open(path).manifest.graphs:
        folder = tmp_path / component
        folder.mkdir()
        _, found = fitted(path, component, dtype, folder)
        assert found.measured.error <= BUDGETS[dtype]
        assert found.out_of_range == frozenset()
        if dtype == "float16":
            assert _built(component, folder) > 100_000


def _built(component: str, folder: Path) -> int:
    """Bytes of a portable engine that TensorRT-RTX makes of a narrowed graph."""
    ports = read_ports(ir.load(folder / "graph.onnx").graph.inputs)
    names = {size for port in ports for size in port.dims if isinstance(size, str)}
    axes = {name: (1, 2, 4) if name == "lanes" else (8, 8, 16) for name in names}
    out = folder / "portable.engine"
    job = EngineJob(
        component=component,
        target="tensorrt-rtx",
        graph=folder / "graph.onnx",
        root=folder,
        out=out,
        profiles=(Profile(axes),),
    )
    build(job, lambda phase, done, count: None)
    return out.stat().st_size


def amplified(path: Path, component: str, layer: str, gain: float) -> ir.Model:
    """A component with a loud layer, as trained text encoders and autoencoders have them."""
    model = loaded(path, component)
    (node,) = (node for node in model.graph if node.name == layer)
    for value in node.inputs[1:]:
        array = gain * value.const_value.numpy()
        value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "component", "layer", "reads"),
    [
        ("pixart_alpha", "text_encoder", "node_linear_6", "RMSNormalization"),
        ("sdxl", "decoder", "node_conv2d_3", "GroupNormalization"),
    ],
)
def test_a_loud_residual_stream_stays_float32(
    name: str, component: str, layer: str, reads: str, once, tmp_path: Path
) -> None:
    """T5's feed-forward layers and the decoder of SDXL overflow in float16: as the trained do."""
    path = family_bundle(once, name)
    model = amplified(path, component, layer, 1e5)
    trials = first_trial(model, path, component)
    comparison = Comparison(model, path, "float16", trials, tmp_path)
    assert not isfinite(comparison.measure().error)
    found = fit(component, comparison)
    assert layer in found.out_of_range
    kept = {node.op_type for node in model.graph if node.name in found.out_of_range}
    assert {"Add", reads} <= kept
    kept_layers = [each for each in found.measured.layers if each.name in found.keep]
    assert len(kept_layers) < len(found.measured.layers) / 2
    assert found.measured.error <= BUDGETS["float16"]
    calm = fit(component, Comparison(model, path, "bfloat16", trials, tmp_path))
    assert calm.out_of_range == frozenset()

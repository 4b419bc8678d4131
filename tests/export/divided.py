"""Bundles whose denoiser is divided, made of bundles whose denoiser is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from denoisert.export.bundle import Contents, Draft, write_bundle, write_weights
from denoisert.export.division import Division
from denoisert.export.graph.externalise import Location, externalise
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.graph.store import store_graph
from denoisert.export.targets.lowering import lowered
from denoisert.runtime.bundle.manifest import GraphEntry, Manifest
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.target import OnnxRuntime

KEY = "onnxruntime"


def load_denoiser(bundle: Bundle) -> ir.Model:
    """The denoiser's graph, with the folder that its weights lie in."""
    model = ir.load(bundle.root / bundle.manifest.graphs["denoiser"].path)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            value.const_value = ir.ExternalTensor(
                tensor.location,
                tensor.offset,
                tensor.length,
                tensor.dtype,
                shape=tensor.shape,
                name=tensor.name,
                base_dir=bundle.root,
            )
    return model


def divide(bundle: Bundle) -> Division | None:
    """The halves of a bundle's denoiser, however little that saves."""
    card = bundle.card
    return Division.of(load_denoiser(bundle), denoiser_signature(card), card, smallest_share=0.0)


def write_divided(path: Path, out: Path) -> Manifest:
    """The same bundle for ONNX Runtime, with a conditioner."""
    whole = Bundle.open(path)
    division = divide(whole)
    assert division is not None

    def fill(draft: Draft) -> Contents:
        def write(tensors: Mapping[str, np.ndarray[Any, Any]]) -> Location:
            name, places = write_weights(draft.path("weights"), tensors)
            return f"weights/{name}", places

        entry = whole.manifest.engines[KEY]
        graphs, engines = dict(whole.manifest.graphs), dict(entry.graphs)
        left_out = {graphs["denoiser"].path, engines["denoiser"].path}
        for path in whole.manifest.files.keys() - left_out - set(graphs["denoiser"].weights):
            if not path.startswith("engines/") or path.startswith(f"engines/{KEY}/"):
                draft.write(path, (whole.root / path).read_bytes())
        for name, model in division.graphs.items():
            weights = externalise(model, draft.folder, write)
            graphs[name] = _store(model, f"graphs/{name}.onnx", weights, draft)
            form = lowered(model, OnnxRuntime())
            engines[name] = _store(form, f"engines/{KEY}/{name}.onnx", weights, draft)
        return Contents(whole.card, graphs, {KEY: replace(entry, graphs=engines)}, "tests")

    return write_bundle(out, "0" * 64, fill)


def _store(model: ir.Model, path: str, weights: tuple[str, ...], draft: Draft) -> GraphEntry:
    return store_graph(model, path, weights, draft)[0]

"""Bundles of a toy whose engine sets are ONNX files of any kind, so that they may be wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import helper

from denoisert.export.bundle import Contents, Draft, write_bundle
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.profile import Profile
from tests.runtime.networks import OPSET, Toy


def toy_bundle(
    folder: Path,
    toy: Toy,
    sets: Mapping[str, bytes],
    dtypes: Mapping[str, str] | None = None,
    profiles: tuple[Profile, ...] = (),
) -> Path:
    """A bundle with these engines of the denoiser by key, and dtypes and profiles that it tells."""

    def fill(draft: Draft) -> Contents:
        path = "graphs/denoiser.onnx"
        draft.write(path, toy.model.SerializeToString())
        engine = OrtEngine(draft.folder / path, draft.folder, threads=1)
        graph = GraphEntry(path, (), engine.inputs, engine.outputs, OPSET)
        engines = {}
        for key, content in sets.items():
            place = f"engines/{key}/denoiser.onnx"
            draft.write(place, content)
            dtype = (dtypes or {}).get(key, "float32")
            entry = replace(graph, path=place, dtype=dtype, profiles=profiles)
            engines[key] = EngineEntry("1.0", {"denoiser": entry})
        return Contents(toy.card(), {"denoiser": graph}, engines, "tests")

    out = folder / "sets.bundle"
    digest = hashlib.sha256(b"".join(sets.values())).hexdigest()
    write_bundle(out, digest, fill, lock_timeout_s=60.0)
    return out


def altered(model: onnx.ModelProto, *nodes: onnx.NodeProto, **constants: float) -> bytes:
    """The toy's graph whose answer goes through these nodes, from "raw" to the output's name."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    (out,) = copy.graph.output
    for node in copy.graph.node:
        node.output[:] = ["raw" if name == out.name else name for name in node.output]
    for name, value in constants.items():
        copy.graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]))
    copy.graph.node.extend(nodes)
    onnx.checker.check_model(copy)
    return copy.SerializeToString()


def scaled(toy: Toy, gain: float) -> bytes:
    """An engine whose answers are so many times as large."""
    out = toy.model.graph.output[0].name
    return altered(toy.model, helper.make_node("Mul", ["raw", "gain"], [out]), gain=gain)


def sociable(toy: Toy, gain: float) -> bytes:
    """An engine whose lanes feel the largest value of their batch."""
    out = toy.model.graph.output[0].name
    nodes = [
        helper.make_node("ReduceMax", ["raw"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "gain"], ["felt"]),
        helper.make_node("Add", ["raw", "felt"], [out]),
    ]
    return altered(toy.model, *nodes, gain=gain)

"""Bundles that say they have engines of several targets, and machines that say what they have."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.runtime.bundle.manifest import NAME, EngineEntry
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines import driver, here
from denoisert.runtime.engines.profile import Profile

BUILT = "1.7.1.116"

EVERYTHING = {
    "onnxruntime": "1.32.0",
    "openvino": "2026.4.1",
    "tensorrt-rtx-cu13": BUILT,
    "torch": "2.13",
    "onnx": "1.20",
    "triton": "3.6",
}
"""What a machine has that runs every target but TensorRT."""


def entry(bundle: Bundle, **fields: object) -> EngineEntry:
    """Engines as the bundle's first ones, with other fields."""
    return replace(next(iter(bundle.manifest.engines.values())), **fields)


def profiled(bundle: Bundle, *profiles: Profile, **fields: object) -> EngineEntry:
    """Engines that were compiled for these shapes."""
    graphs = {
        name: replace(graph, profiles=profiles, opset=0)
        for name, graph in entry(bundle).graphs.items()
    }
    return entry(bundle, graphs=graphs, **fields)


def with_sets(bundle: Bundle, sets: Mapping[str, EngineEntry]) -> Bundle:
    """The bundle as it were with these engine sets by key and no others; their files are not."""
    manifest = bundle.manifest
    files = {path: file for path, file in manifest.files.items() if not is_engine(path)}
    engines = {}
    for key, each in sets.items():
        graphs = {
            name: replace(graph, path=placed(key, graph.path))
            for name, graph in each.graphs.items()
        }
        engines[key] = replace(each, graphs=graphs)
        for name, graph in each.graphs.items():
            files[graphs[name].path] = manifest.files[graph.path]
    return Bundle(bundle.root, replace(manifest, engines=engines, files=files).with_id())


def written(bundle: Bundle, sets: Mapping[str, EngineEntry], folder: Path) -> Path:
    """A bundle on disk with these sets, every engine of which is a copy of the first ones."""
    manifest = with_sets(bundle, sets).manifest
    for path in (*bundle.manifest.files, *manifest.files):
        source = bundle.root / path
        if path not in bundle.manifest.files:
            old = next(iter(bundle.manifest.engines))
            source = bundle.root / placed(old, path)
        if path in manifest.files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / path)
    (folder / NAME).write_bytes(manifest.to_json())
    return folder


def is_engine(path: str) -> bool:
    return path.startswith("engines/")


def placed(key: str, path: str) -> str:
    """Where an engine lies in the set of a key."""
    return f"engines/{key}/{path.rpartition('/')[2]}"


def have(monkeypatch: pytest.MonkeyPatch, found: Mapping[str, str], *gpus: str) -> None:
    """Pretend that these distributions are installed, and GPUs of these capabilities there."""
    monkeypatch.setattr(here, "installed", found.get)
    monkeypatch.setattr(driver, "capabilities", lambda: gpus)

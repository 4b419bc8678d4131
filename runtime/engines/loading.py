"""From a choice to engines: each file is verified, then the target's library reads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.choice import Choice
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.resident import DeferredEngine, Resident
from denoisert.runtime.engines.target import (
    CPU,
    FLOAT32,
    EngineTarget,
    OnnxRuntime,
    OpenVino,
    Torch,
    engine_key,
)
from denoisert.runtime.errors import Incompatible

DENOISER: Final = "denoiser"


def load(
    bundle: Bundle, choice: Choice, component: str, threads: int, cache: Path | None = None
) -> Engine:
    """Verify and load one component of a target.

    Args:
        bundle: the opened bundle.
        choice: what `choose` picked.
        component: its name in the manifest, for example "denoiser" or "decoder".
        threads: intra-op threads; torch has one number for the whole process and keeps it.
        cache: folder of the device profile, for what a device still specialises.

    Returns:
        The engine.

    Raises:
        Incompatible: the target has no such component, or its engine is not for this device.
        BuildError: the engine cannot be loaded.
        Tampered: a file differs from the manifest.
    """
    entry = graph_entry(bundle, choice, component)
    for path in (*entry.weights, entry.path):
        bundle.verified(path)
    if isinstance(choice.target, Torch):
        from denoisert.runtime.engines.torch.engine import TorchEngine

        dtype = choice.target.dtype if component == DENOISER else FLOAT32
        graph = bundle.root / entry.path
        return TorchEngine(graph, bundle.root, device=choice.target.device, dtype=dtype)
    return open_engine(bundle.root, entry, choice.target, threads, cache)


def open_engine(
    root: Path, entry: GraphEntry, target: EngineTarget, threads: int, cache: Path | None = None
) -> Engine:
    """Load an engine whose files were verified; its library is imported now.

    Args:
        root: folder of the bundle.
        entry: what the manifest says about the engine.
        target: what runs it.
        threads: see `load`.
        cache: see `load`.

    Raises:
        Incompatible: the engine is not for this device.
        BuildError: it cannot be loaded.
    """
    path = root / entry.path
    if isinstance(target, OnnxRuntime) and target.device != CPU:
        from denoisert.runtime.engines.ort_cuda import OrtCudaEngine

        return OrtCudaEngine(path, root, target)
    if isinstance(target, OnnxRuntime):
        from denoisert.runtime.engines.ort import OrtEngine

        return OrtEngine(path, root, threads=threads)
    if isinstance(target, OpenVino):
        from denoisert.runtime.engines.openvino.engine import OpenVinoEngine

        return OpenVinoEngine(path, entry, threads=threads, cache=cache)
    from denoisert.runtime.engines.tensorrt.engine import TensorRtEngine

    return TensorRtEngine(path, entry, target, cache=cache)


def defer(
    bundle: Bundle, choice: Choice, component: str, threads: int, cache: Path | None = None
) -> DeferredEngine:
    """One component of a target, loaded when it is first bound.

    Its graph is verified now, its weights when they are loaded. What computes in another dtype than
    its file has other ports, too, which only the loaded graph tells: it is loaded now.

    Args:
        bundle: the opened bundle.
        choice: what `choose` picked.
        component: its name in the manifest.
        threads: see `load`.
        cache: see `load`.

    Raises:
        Incompatible: the target has no such component.
        BuildError: no engine could have its outputs, or it is loaded now and cannot be.
        Tampered: its graph differs from the manifest.
    """
    entry = graph_entry(bundle, choice, component)
    bundle.verified(entry.path)
    size = sum(bundle.manifest.files[path].size for path in weight_files(entry))
    opening = partial(load, bundle, choice, component, threads, cache)
    resident = Resident(component, size, opening)
    is_torch = isinstance(choice.target, Torch)
    if is_torch and component == DENOISER and choice.target.dtype != FLOAT32:
        engine = resident.engine()
        return DeferredEngine(resident, (engine.inputs, engine.outputs))
    return DeferredEngine(resident, (entry.inputs, entry.outputs), entry.profiles)


def components(bundle: Bundle, choice: Choice) -> tuple[str, ...]:
    """Names of the components that a target has."""
    return tuple(_graphs(bundle, choice))


def graph_entry(bundle: Bundle, choice: Choice, component: str) -> GraphEntry:
    """What the manifest says about one component of a target.

    Raises:
        Incompatible: the target has no such component.
    """
    graphs = _graphs(bundle, choice)
    if component not in graphs:
        raise Incompatible(
            f"the bundle's {choice.key} engines have no {component!r}, only "
            f"{', '.join(sorted(graphs))}. Compile the model again."
        )
    return graphs[component]


def weight_files(entry: GraphEntry) -> tuple[str, ...]:
    """What holds a component's weights: an engine that is no ONNX file may have its own."""
    return entry.weights if entry.opset or entry.weights else (entry.path,)


def _graphs(bundle: Bundle, choice: Choice) -> Mapping[str, GraphEntry]:
    """Torch runs the graphs themselves, other targets engines made of them."""
    if isinstance(choice.target, Torch):
        return bundle.manifest.graphs
    return bundle.manifest.engines[engine_key(choice.target)].graphs

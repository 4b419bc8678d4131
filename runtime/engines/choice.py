"""Which engines run on a device, and why: decided once, in `open`, never silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.resident import DeferredEngine, Resident
from denoisert.runtime.engines.target import CPU, FLOAT32, OnnxRuntime, Target, Torch
from denoisert.runtime.errors import Incompatible

GPU_PACKAGE = "onnxruntime-gpu"
DENOISER = "denoiser"
ORT = OnnxRuntime.name
TORCH_PACKAGES = ("torch", "onnx", "triton")


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine set of a runtime.

    Args:
        target: what runs it.
        reason: one line that says why.
    """

    target: Target
    reason: str


def installed(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def choose(bundle: Bundle, target: Target | None = None) -> Choice:
    """See whether a target runs here.

    Args:
        bundle: the opened bundle.
        target: what is asked for; None for ONNX Runtime on the CPU.

    Returns:
        The choice with its reason.

    Raises:
        Incompatible: the bundle or this environment lacks what the target needs.
    """
    if isinstance(target, Torch):
        return _torch(target)
    return _onnxruntime(bundle)


def _torch(target: Torch) -> Choice:
    """The bundle's own graphs, executed by torch."""
    needed = TORCH_PACKAGES[: 2 if target.device == CPU else 3]
    missing = [package for package in needed if installed(package) is None]
    if missing:
        raise Incompatible(
            f"{target!r} needs {', '.join(missing)}, not installed here. "
            "Run: pip install 'denoisert[torch]'"
        )
    where = "the CPU" if target.device == CPU else target.device
    have = f"{target.name} {installed('torch')}"
    return Choice(target, f"{have} on {where} in {target.dtype}, running the bundle's own graphs")


def _onnxruntime(bundle: Bundle) -> Choice:
    cpu, gpu = installed(ORT), installed(GPU_PACKAGE)
    if cpu and gpu:
        raise Incompatible(
            f"{ORT} {cpu} and {GPU_PACKAGE} {gpu} are both installed; they overwrite "
            "each other's files. "
            f"Uninstall both, then install denoisert[cpu] or denoisert[gpu], not both."
        )
    found = sorted(bundle.manifest.engines)
    if ORT not in found:
        raise Incompatible(
            f"the bundle has engines for {', '.join(found) or 'no target'}, none for {ORT}. "
            f"Compile with --target {ORT}, or open it on Torch()."
        )
    have = cpu or gpu
    if have is None:
        raise Incompatible(
            f"the bundle's {ORT} engine needs ONNX Runtime, which is not installed. "
            "Run: pip install 'denoisert[cpu]'"
        )
    built = bundle.manifest.engines[ORT].version
    return Choice(
        OnnxRuntime(), f"{ORT} {have} on the CPU, the bundle's engine for it (checked with {built})"
    )


def load(bundle: Bundle, choice: Choice, component: str, threads: int) -> Engine:
    """Verify and load one component of a target.

    Args:
        bundle: the opened bundle.
        choice: what `choose` picked.
        component: its name in the manifest, for example "denoiser" or "decoder".
        threads: intra-op threads; torch has one number for the whole process and keeps it.

    Returns:
        The engine.

    Raises:
        Incompatible: the target has no such component.
        BuildError: the engine cannot be loaded.
        Tampered: a file differs from the manifest.
    """
    entry = graph_entry(bundle, choice, component)
    for path in entry.weights:
        bundle.verified(path)
    graph = bundle.verified(entry.path)
    # Heavy libraries are imported only once an engine is wanted.
    if isinstance(choice.target, Torch):
        from denoisert.runtime.engines.torch.engine import TorchEngine

        dtype = choice.target.dtype if component == DENOISER else FLOAT32
        return TorchEngine(graph, bundle.root, device=choice.target.device, dtype=dtype)
    from denoisert.runtime.engines.ort import OrtEngine

    return OrtEngine(graph, bundle.root, threads=threads)


def defer(bundle: Bundle, choice: Choice, component: str, threads: int) -> DeferredEngine:
    """One component of a target, loaded when it is first bound.

    Its graph is verified now, its weights when they are loaded. What computes in another dtype than
    its file has other ports, too, which only the loaded graph tells: it is loaded now.

    Args:
        bundle: the opened bundle.
        choice: what `choose` picked.
        component: its name in the manifest.
        threads: see `load`.

    Raises:
        Incompatible: the target has no such component.
        BuildError: no engine could have its outputs, or it is loaded now and cannot be.
        Tampered: its graph differs from the manifest.
    """
    entry = graph_entry(bundle, choice, component)
    bundle.verified(entry.path)
    size = sum(bundle.manifest.files[path].size for path in entry.weights)
    resident = Resident(component, size, partial(load, bundle, choice, component, threads))
    if component == DENOISER and choice.target.dtype != FLOAT32:
        engine = resident.engine()
        return DeferredEngine(resident, (engine.inputs, engine.outputs))
    return DeferredEngine(resident, (entry.inputs, entry.outputs))


def components(bundle: Bundle, choice: Choice) -> tuple[str, ...]:
    """Names of the components that a target has."""
    return tuple(_graphs(bundle, choice))


def _graphs(bundle: Bundle, choice: Choice) -> Mapping[str, GraphEntry]:
    """Torch runs the graphs themselves, other targets engines made of them."""
    if isinstance(choice.target, Torch):
        return bundle.manifest.graphs
    return bundle.manifest.engines[choice.target.name].graphs


def graph_entry(bundle: Bundle, choice: Choice, component: str) -> GraphEntry:
    """What the manifest says about one component of a target.

    Raises:
        Incompatible: the target has no such component.
    """
    graphs = _graphs(bundle, choice)
    if component not in graphs:
        raise Incompatible(
            f"the bundle's {choice.target.name} engines have no {component!r}, only "
            f"{', '.join(sorted(graphs))}. Compile the model again."
        )
    return graphs[component]

"""Which of a bundle's engines runs here, and why: decided once, in `open`, never silently."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.errors import Incompatible

CPU_PACKAGE = "onnxruntime"
GPU_PACKAGE = "onnxruntime-gpu"
DENOISER = "denoiser"


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine set of a runtime.

    Args:
        target: name of the target in the bundle.
        reason: one line that says why.
    """

    target: str
    reason: str


def installed(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def choose(bundle: Bundle) -> Choice:
    """Pick the target that runs here.

    Args:
        bundle: the opened bundle.

    Returns:
        The choice with its reason.

    Raises:
        Incompatible: nothing in the bundle runs here, or two ONNX Runtimes are installed over each
        other.
    """
    cpu, gpu = installed(CPU_PACKAGE), installed(GPU_PACKAGE)
    if cpu and gpu:
        raise Incompatible(
            f"{CPU_PACKAGE} {cpu} and {GPU_PACKAGE} {gpu} are both installed; they overwrite "
            "each other's files. "
            f"Uninstall both, then install denoisert[cpu] or denoisert[gpu], not both."
        )
    found = sorted(bundle.manifest.engines)
    if CPU_PACKAGE not in found:
        raise Incompatible(
            f"the bundle has engines for {', '.join(found) or 'no target'}; this version runs "
            f"{CPU_PACKAGE}. "
            f"Compile with --target {CPU_PACKAGE}."
        )
    have = cpu or gpu
    if have is None:
        raise Incompatible(
            f"the bundle's {CPU_PACKAGE} engine needs ONNX Runtime, which is not installed. "
            "Run: pip install 'denoisert[cpu]'"
        )
    built = bundle.manifest.engines[CPU_PACKAGE].version
    return Choice(
        CPU_PACKAGE,
        f"{CPU_PACKAGE} {have} on the CPU, the only target of this version (engine checked with "
        f"{built})",
    )


def load(bundle: Bundle, choice: Choice, component: str, threads: int) -> Engine:
    """Verify and load one component of a target.

    Args:
        bundle: the opened bundle.
        choice: what `choose` picked.
        component: its name in the manifest, for example "denoiser" or "decoder".
        threads: intra-op threads.

    Returns:
        The engine.

    Raises:
        Incompatible: the target has no such component.
        BuildError: the engine cannot be loaded.
        Tampered: a file differs from the manifest.
    """
    from denoisert.runtime.engines.ort import OrtEngine  # heavy: only once an engine is wanted

    graphs = bundle.manifest.engines[choice.target].graphs
    if component not in graphs:
        raise Incompatible(
            f"the bundle's {choice.target} engines have no {component!r}, only "
            f"{', '.join(sorted(graphs))}. Compile the model again."
        )
    entry = graphs[component]
    for path in entry.weights:
        bundle.verified(path)
    return OrtEngine(bundle.verified(entry.path), bundle.root, threads=threads)

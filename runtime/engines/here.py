"""Whether a target runs on this machine, and what keeps it from that."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from denoisert.runtime.engines import driver
from denoisert.runtime.engines.processor import WHOLE, instructions
from denoisert.runtime.engines.target import (
    CPU,
    INT8,
    OnnxRuntime,
    OpenVino,
    Target,
    TensorRt,
    TensorRtRtx,
    Torch,
)

if TYPE_CHECKING:
    from denoisert.runtime.bundle.manifest import EngineEntry

GPU_PACKAGE: Final = "onnxruntime-gpu"
TORCH_PACKAGES: Final = ("torch", "onnx", "triton")

PACKAGES: Final = {
    OnnxRuntime.name: ("onnxruntime", GPU_PACKAGE),
    OpenVino.name: ("openvino",),
    TensorRtRtx.name: ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
    TensorRt.name: ("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
    Torch.name: ("torch",),
}
"""Target -> the distributions that bring it, one of which is enough."""

EXTRAS: Final = {
    OnnxRuntime.name: "cpu",
    OpenVino.name: "openvino",
    TensorRtRtx.name: "tensorrt-rtx",
    TensorRt.name: "tensorrt",
    Torch.name: "torch",
}
"""Target -> the extra of DenoiseRT that brings it."""

EXACT: Final = (TensorRtRtx, TensorRt)
"""Targets whose engines belong to one version of their library."""


def installed(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def version_of(target: Target) -> str | None:
    """The version of a target's library here, or None."""
    return next(filter(None, map(installed, PACKAGES[target.name])), None)


def place_of(target: Target) -> str:
    """A target's device as words."""
    return "the CPU" if target.device == CPU else target.device


def obstacle(target: Target, entry: EngineEntry | None = None) -> str:
    """What keeps a target from running here, and what to do about it; "" where nothing does.

    Args:
        target: what is asked for.
        entry: its engines in a bundle; None for the target as such.
    """
    missing = _package(target) or _processor(target) or _gpu(target)
    return missing or ("" if entry is None else _engine(target, entry))


def _package(target: Target) -> str:
    """What is not installed, or too much of it."""
    if isinstance(target, Torch):
        return _torch(target)
    if isinstance(target, OnnxRuntime):
        return _onnxruntime(target)
    if version_of(target) is None:
        return f"it needs {PACKAGES[target.name][0]}, not installed here. {_advice(target)}"
    return "" if target.device == CPU else _missing(target, TORCH_PACKAGES)


def _torch(target: Torch) -> str:
    """`Torch` executes the bundle's graphs; on CUDA it also holds the pool."""
    return _missing(target, TORCH_PACKAGES[: 2 if target.device == CPU else 3])


def _onnxruntime(target: OnnxRuntime) -> str:
    cpu, gpu = map(installed, PACKAGES[OnnxRuntime.name])
    if cpu and gpu:
        return (
            f"onnxruntime {cpu} and {GPU_PACKAGE} {gpu} are both installed; they overwrite each "
            "other's files. Uninstall both, then install denoisert[cpu] or denoisert[gpu], not "
            "both."
        )
    if target.device != CPU:
        if gpu is None:
            return f"it needs {GPU_PACKAGE}, not installed here. Run: pip install 'denoisert[gpu]'"
        return _missing(target, TORCH_PACKAGES)
    if cpu is None and gpu is None:
        return f"it needs ONNX Runtime, which is not installed. {_advice(target)}"
    return ""


def _missing(target: Target, packages: tuple[str, ...]) -> str:
    missing = [package for package in packages if installed(package) is None]
    if not missing:
        return ""
    extra = EXTRAS[Torch.name]
    return (
        f"{target!r} needs {', '.join(missing)}, not installed here. "
        f"Run: pip install 'denoisert[{extra}]'"
    )


def _advice(target: Target) -> str:
    return f"Run: pip install 'denoisert[{EXTRAS[target.name]}]'"


def _processor(target: Target) -> str:
    """Integer products of ONNX Runtime saturate in 16 bits where there is no instruction for them.

    Source: ONNX Runtime's documentation on quantisation, "U8S8" on AVX2 and AVX512.
    """
    if not isinstance(target, OnnxRuntime) or target.dtype != INT8:
        return ""
    if set(instructions()) & set(WHOLE):
        return ""
    return (
        "its int8 products would saturate on this processor, which has none of "
        f"{', '.join(WHOLE)}. Take float32."
    )


def _gpu(target: Target) -> str:
    """Torch tells itself, when its device is made."""
    if target.device == CPU or isinstance(target, Torch):
        return ""
    found = driver.capabilities()
    if not found:
        return "it needs an NVIDIA GPU; the driver shows none here."
    if _number(target.device) >= len(found):
        return f"there is no {target.device}; the driver shows {len(found)} GPU(s), from cuda:0 on."
    return ""


def _engine(target: Target, entry: EngineEntry) -> str:
    """Engines of another version or for other GPUs, before anything is read from them."""
    here = version_of(target)
    if isinstance(target, EXACT) and here != entry.version:
        return (
            f"its engines were compiled by {target.name} {entry.version}, installed is {here}. "
            f"Install that version, or compile again."
        )
    if target.device == CPU or not entry.capabilities:
        return ""
    found = driver.capabilities()[_number(target.device)]
    if found in entry.capabilities:
        return ""
    return (
        f"its engines are for compute capability {', '.join(entry.capabilities)}; {target.device} "
        f"has {found}. Compile again with --capability {found}."
    )


def _number(device: str) -> int:
    """Of a CUDA device: "cuda" is the first one."""
    return int(device.partition(":")[2] or 0)

"""`denoisert doctor`: what this machine and this environment can run."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.runtime.cli.verbs import Subparsers

PACKAGES = {
    "denoisert": "pip install denoisert",
    "numpy": "pip install numpy",
    "onnxruntime": "pip install 'denoisert[cpu]'",
    "onnxruntime-gpu": "pip install 'denoisert[gpu]'",
    "torch": "pip install 'denoisert[torch]'",
    "triton": "pip install 'denoisert[torch]'",
    "openvino": "pip install 'denoisert[openvino]'",
    "tensorrt-rtx-cu13": "pip install 'denoisert[tensorrt-rtx]'",
    "onnx": "pip install 'denoisert[torch]'",
    "onnxscript": "pip install 'denoisert[export]'",
    "safetensors": "pip install 'denoisert[export]'",
}
COMPILER = ("torch", "onnx", "onnxscript", "safetensors")
DRIVER = Path("/dev/nvidiactl")
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile")


def add(subparsers: Subparsers) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "doctor",
        help="show what this machine can run and what is missing",
        description="Show what this machine can run; exit status 1 when nothing can.",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Examine this environment without importing what is examined.

    Args:
        args: parsed options.

    Returns:
        0 when bundles run here, else 1.
    """
    facts, packages = machine(), {name: _installed(name) for name in PACKAGES}
    found = list(findings(packages))
    if args.json:
        print(json.dumps({"machine": facts, "packages": packages, "findings": found}, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name:<18}{value}")
        for name, installed in packages.items():
            print(f"{name:<18}{installed or f'missing: {PACKAGES[name]}'}")
        print(*found, sep="\n")
    return 0 if _runs(packages) else 1


def machine() -> dict[str, str]:
    """Processor, memory and system of this machine."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    keys = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(keys.get("flags", "").split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": keys.get("model name", platform.processor()),
        "instructions": " ".join(flag for flag in FLAGS if flag in flags) or "none of interest",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.1f} GiB",
    }


def findings(packages: dict[str, str | None]) -> Iterator[str]:
    """What the installed packages mean for users."""
    if packages["onnxruntime"] and packages["onnxruntime-gpu"]:
        yield (
            "problem: onnxruntime and onnxruntime-gpu overwrite each other's files; uninstall "
            "both, then install denoisert[cpu] or denoisert[gpu]"
        )
    elif packages["onnxruntime"] or packages["onnxruntime-gpu"]:
        yield "bundles run here: target onnxruntime on the CPU"
    elif not _runs_torch(packages):
        yield f"no bundle can run here yet: {PACKAGES['onnxruntime']}"
    if all(packages[name] for name in COMPILER):
        yield "models can be compiled here"
    else:
        yield f"models cannot be compiled here: {PACKAGES['safetensors']}"
    if _runs_torch(packages):
        has_cuda = DRIVER.exists() and packages["triton"]
        yield f"bundles run here: target torch on the CPU{' and on CUDA' if has_cuda else ''}"


def _runs(packages: dict[str, str | None]) -> bool:
    found = [packages["onnxruntime"], packages["onnxruntime-gpu"]]
    return not all(found) and (any(found) or _runs_torch(packages))


def _runs_torch(packages: dict[str, str | None]) -> bool:
    return bool(packages["torch"] and packages["onnx"])


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

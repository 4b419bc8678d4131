"""python -m bench.gpu.environment: what this machine has, as one record."""

from __future__ import annotations

import importlib.util
import platform
import shutil

from bench.gpu.machine import gpu, machine
from bench.gpu.sanitize import sanitizer
from denoisert.runtime.measure.record import Record

TOOLS = ("nvcc", "ptxas", "nsys", "ncu", "cuobjdump")
MODULES = ("pytest", "pytest_timeout", "hypothesis", "onnx", "onnxruntime", "tensorrt_rtx")
MORE_MODULES = ("diffusers", "sklearn", "safetensors", "tokenizers", "transformers", "PIL")


def facts() -> dict[str, float | str]:
    """Name -> what was found."""
    import torch

    tools = [tool for tool in TOOLS if shutil.which(tool)]
    modules = {name: importlib.util.find_spec(name) for name in (*MODULES, *MORE_MODULES)}
    found: dict[str, float | str] = {
        "python": platform.python_version(),
        "torch_cuda": str(torch.version.cuda),
        "compute_sanitizer": "yes" if sanitizer() else "no",
        "tools": ", ".join(tools) or "none",
        "missing_modules": ", ".join(name for name, spec in modules.items() if spec is None),
        **gpu(),
    }
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        found |= {
            "capability": f"{device.major}.{device.minor}",
            "memory_gib": round(device.total_memory / 2**30, 1),
            "multiprocessors": device.multi_processor_count,
            "l2_mib": round(device.L2_cache_size / 2**20, 1),
            "cudnn": torch.backends.cudnn.version() or 0,
        }
    return found


def main() -> None:
    """Print the record."""
    record = Record(
        *("gpu/environment", "denoisert", "", "none", 0.0, 0.0, 0.0),
        repeats=(0, 0),
        machine=machine(),
        extra=facts(),
    )
    print(record.line())


if __name__ == "__main__":
    main()

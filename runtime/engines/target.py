"""What runs a bundle's graphs and where, as an object to ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput

CPU = "cpu"
FLOAT32 = "float32"
GRAPHS = 32
DTYPES = (FLOAT32, "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """The bundle's engines for ONNX Runtime on the CPU, in float32; what "cpu" means."""

    name: ClassVar[str] = "onnxruntime"
    device: ClassVar[str] = CPU
    dtype: ClassVar[str] = FLOAT32


@dataclass(frozen=True, slots=True)
class Torch:
    """The bundle's own graphs, executed by torch; what "cuda" means.

    On the CPU the pool is the same as that of `OnnxRuntime`; on CUDA it lives in the device's
    memory and whole ticks are captured.

    Args:
        device: as torch names it, "cuda", "cuda:1" or "cpu".
        dtype: that the denoiser computes in: "float32", "float16" or "bfloat16". Text encoders,
            decoder and image encoder compute in float32.
        graphs: captured ticks that a device keeps, on CUDA; 0 launches every tick anew.

    Raises:
        InvalidInput: another device or dtype, or less than no graphs.
    """

    device: str = "cuda"
    dtype: str = FLOAT32
    graphs: int = GRAPHS

    name: ClassVar[str] = "torch"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InvalidInput(f"dtype {self.dtype!r}: give one of {', '.join(DTYPES)}.")
        if self.device != CPU and not _is_cuda(self.device):
            raise InvalidInput(f'device {self.device!r}: give "cuda", "cuda:1" or "cpu".')
        if isinstance(self.graphs, bool) or not isinstance(self.graphs, int) or self.graphs < 0:
            raise InvalidInput(f"graphs {self.graphs!r}: give a whole number, 0 for none.")


Target = OnnxRuntime | Torch


def target_of(device: str | Target) -> Target:
    """What a device's name means: ONNX Runtime on "cpu", torch on "cuda".

    Raises:
        InvalidInput: no device that this version knows.
    """
    if not isinstance(device, str):
        return device
    if device != CPU and not _is_cuda(device):
        raise InvalidInput(
            f'device {device!r}: give "cpu", "cuda" or "cuda:1", or a target such as '
            'Torch("cuda", dtype="float16").'
        )
    return OnnxRuntime() if device == CPU else Torch(device)


def _is_cuda(device: str) -> bool:
    return re.fullmatch(r"cuda(:\d+)?", device) is not None

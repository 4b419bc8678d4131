"""What runs a bundle's graphs and where, as an object: the same to compile for and to open on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput

CPU = "cpu"
CUDA = "cuda"
FLOAT32 = "float32"
FLOAT16 = "float16"
BFLOAT16 = "bfloat16"
INT8 = "int8"
HALF = (FLOAT16, BFLOAT16)
GRAPHS = 32


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """ONNX Runtime: the embedded default on a CPU, and the oracle of every graph.

    Args:
        dtype: "float32"; "int8" on a CPU; "float16" on CUDA.
        device: "cpu", "cuda" or "cuda:1".
        provider: what computes on CUDA: "cuda" or "tensorrt". It never falls back to the CPU.

    Raises:
        InvalidInput: another dtype, device or provider.
    """

    dtype: str = FLOAT32
    device: str = CPU
    provider: str = CUDA

    name: ClassVar[str] = "onnxruntime"
    dtypes: ClassVar[tuple[str, ...]] = (FLOAT32, INT8, FLOAT16)

    def __post_init__(self) -> None:
        on_cpu = self.device == CPU
        _check(self, (FLOAT32, INT8) if on_cpu else (FLOAT32, FLOAT16), has_cpu=True)
        if self.provider not in (CUDA, "tensorrt"):
            raise InvalidInput(f'provider {self.provider!r}: give "cuda" or "tensorrt".')


@dataclass(frozen=True, slots=True)
class OpenVino:
    """OpenVINO on a CPU.

    Args:
        dtype: "bfloat16", "float32" or "int8".

    Raises:
        InvalidInput: another dtype.
    """

    dtype: str = BFLOAT16

    name: ClassVar[str] = "openvino"
    device: ClassVar[str] = CPU
    dtypes: ClassVar[tuple[str, ...]] = (BFLOAT16, FLOAT32, INT8)

    def __post_init__(self) -> None:
        _check(self, self.dtypes, has_cpu=True)


@dataclass(frozen=True, slots=True)
class TensorRtRtx:
    """TensorRT for RTX: compiled ahead of time without a GPU.

    Args:
        dtype: "float16", "bfloat16" or "float32".
        device: "cuda" or "cuda:1".

    Raises:
        InvalidInput: another dtype or device.
    """

    dtype: str = FLOAT16
    device: str = CUDA

    name: ClassVar[str] = "tensorrt-rtx"
    dtypes: ClassVar[tuple[str, ...]] = (FLOAT16, BFLOAT16, FLOAT32)

    def __post_init__(self) -> None:
        _check(self, self.dtypes)


@dataclass(frozen=True, slots=True)
class TensorRt:
    """TensorRT 11: compiled on a machine with the GPU that it is for.

    Args:
        dtype: "float16", "bfloat16" or "float32".
        device: "cuda" or "cuda:1".

    Raises:
        InvalidInput: another dtype or device.
    """

    dtype: str = FLOAT16
    device: str = CUDA

    name: ClassVar[str] = "tensorrt"
    dtypes: ClassVar[tuple[str, ...]] = (FLOAT16, BFLOAT16, FLOAT32)

    def __post_init__(self) -> None:
        _check(self, self.dtypes)


@dataclass(frozen=True, slots=True)
class Torch:
    """The bundle's own graphs, executed by torch; it needs no engine.

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

    device: str = CUDA
    dtype: str = FLOAT32
    graphs: int = GRAPHS

    name: ClassVar[str] = "torch"
    dtypes: ClassVar[tuple[str, ...]] = (FLOAT32, *HALF)

    def __post_init__(self) -> None:
        _check(self, self.dtypes, has_cpu=True)
        if isinstance(self.graphs, bool) or not isinstance(self.graphs, int) or self.graphs < 0:
            raise InvalidInput(f"graphs {self.graphs!r}: give a whole number, 0 for none.")


EngineTarget = OnnxRuntime | OpenVino | TensorRtRtx | TensorRt
"""What a bundle has engines for."""

Target = EngineTarget | Torch

COMPILED: Mapping[str, type[EngineTarget]] = MappingProxyType(
    {kind.name: kind for kind in (OnnxRuntime, OpenVino, TensorRtRtx, TensorRt)}
)
"""Name -> class of the targets that a model can be compiled for."""

KINDS: Mapping[str, type[Target]] = MappingProxyType({**COMPILED, Torch.name: Torch})
"""Name -> class of every target."""


def engine_key(target: Target) -> str:
    """What a bundle and a device profile call a target: its name, and its dtype if not float32."""
    return target.name if target.dtype == FLOAT32 else f"{target.name}-{target.dtype}"


def target_of_key(key: str) -> EngineTarget | None:
    """The target whose engines a bundle keeps under a key; None for one of another version."""
    for kind in COMPILED.values():
        for dtype in kind.dtypes:
            target = _of(kind, dtype)
            if engine_key(target) == key:
                return target
    return None


def read_target(text: str) -> EngineTarget:
    """The target that "openvino" or "openvino:bfloat16" names, to compile for.

    Raises:
        InvalidInput: no such target, or a dtype that it has not.
    """
    name, _, dtype = text.partition(":")
    kind = COMPILED.get(name)
    if kind is None:
        raise InvalidInput(f"target {text!r}: give one of {', '.join(COMPILED)}.")
    if dtype and dtype not in kind.dtypes:
        raise InvalidInput(f"target {text!r}: {name} takes {', '.join(kind.dtypes)}.")
    return _of(kind, dtype) if dtype else kind()


def check_device(name: str) -> str:
    """A device's name, if it is one.

    Raises:
        InvalidInput: no device that this version knows.
    """
    if name != CPU and not is_cuda(name):
        raise InvalidInput(
            f'device {name!r}: give "cpu", "cuda" or "cuda:1", or a target such as '
            'Torch("cuda", dtype="float16").'
        )
    return name


def is_cuda(device: str) -> bool:
    """Whether a name is one of a CUDA device."""
    return re.fullmatch(r"cuda(:\d+)?", device) is not None


def _of(kind: type[EngineTarget], dtype: str) -> EngineTarget:
    """ONNX Runtime computes in float16 on CUDA only."""
    return OnnxRuntime(dtype, CUDA) if kind is OnnxRuntime and dtype == FLOAT16 else kind(dtype)


def _check(target: Target, dtypes: tuple[str, ...], *, has_cpu: bool = False) -> None:
    """Refuse a dtype or a device that a target has not."""
    if target.dtype not in dtypes:
        raise InvalidInput(f"dtype {target.dtype!r}: give one of {', '.join(dtypes)}.")
    if not is_cuda(target.device) and not (has_cpu and target.device == CPU):
        choice = 'give "cuda" or "cuda:1"' if not has_cpu else 'give "cuda", "cuda:1" or "cpu"'
        raise InvalidInput(f"device {target.device!r}: {choice}.")

"""What each target can do on this machine, and why not: told without importing its library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from denoisert.runtime.engines.target import Target

COMPILER: Final = ("torch", "onnx", "onnxscript", "safetensors")
"""What `denoisert compile` needs, beside the library of a target."""

INSTALL: Final = "Run: pip install 'denoisert[export]'"
NO_ENGINE: Final = "it runs a bundle's own graphs, so there is nothing to compile."


@dataclass(frozen=True, slots=True)
class Place:
    """A target on a kind of device.

    Args:
        device: "cpu" or "cuda".
        dtypes: that it runs in there.
        without: dtypes that it takes -> instructions for them that the processor has not.
        obstacle: what keeps it from running, and what to do; "" where nothing does.
    """

    device: str
    dtypes: tuple[str, ...]
    without: Mapping[str, str]
    obstacle: str


@dataclass(frozen=True, slots=True)
class Ability:
    """A target on this machine.

    Args:
        target: its name.
        version: of its library; "" where there is none.
        places: where it can run, or could.
        against: what keeps models from being compiled for it here; "" where nothing does.
    """

    target: str
    version: str
    places: tuple[Place, ...]
    against: str

    @property
    def runs(self) -> bool:
        """Whether it runs somewhere here."""
        return any(not place.obstacle for place in self.places)


def abilities() -> tuple[Ability, ...]:
    """Of every target, in the order of the command's help."""
    from denoisert.runtime.engines.here import version_of
    from denoisert.runtime.engines.target import KINDS

    found = []
    for name, kind in KINDS.items():
        version = version_of(kind()) or ""
        found.append(Ability(name, version, tuple(_places(kind)), _against(kind())))
    return tuple(found)


def _places(kind: type[Target]) -> Iterator[Place]:
    from denoisert.runtime.engines.target import CPU, CUDA, OnnxRuntime, Torch

    if kind in (OnnxRuntime, Torch):
        yield _place([kind(dtype=dtype, device=CPU) for dtype in _dtypes(kind, CPU)])
        yield _place([kind(dtype=dtype, device=CUDA) for dtype in _dtypes(kind, CUDA)])
    else:
        yield _place([kind(dtype=dtype) for dtype in kind.dtypes])


def _dtypes(kind: type[Target], device: str) -> tuple[str, ...]:
    """ONNX Runtime has a dtype on one kind of device that it has not on the other."""
    from denoisert.runtime.engines.target import CPU, FLOAT16, INT8, OnnxRuntime

    without = (FLOAT16 if device == CPU else INT8,) if kind is OnnxRuntime else ()
    return tuple(dtype for dtype in kind.dtypes if dtype not in without)


def _place(targets: Sequence[Target]) -> Place:
    from denoisert.runtime.engines import driver
    from denoisert.runtime.engines.here import obstacle
    from denoisert.runtime.engines.target import CPU

    first = targets[0]
    against = obstacle(first)
    if not against and first.device != CPU and not driver.capabilities():
        against = "it needs an NVIDIA GPU; the driver shows none here."
    without = {target.dtype: _lack(target) for target in targets if _lack(target)}
    return Place(first.device, tuple(target.dtype for target in targets), without, against)


def _lack(target: Target) -> str:
    """Instructions that a dtype wants and the processor has not; "" where it has."""
    from denoisert.runtime.engines.processor import HALF, WHOLE, instructions
    from denoisert.runtime.engines.target import BFLOAT16, CPU, INT8

    wanted = {BFLOAT16: HALF, INT8: WHOLE}.get(target.dtype, ())
    if target.device != CPU or not wanted or set(wanted) & set(instructions()):
        return ""
    return f"{', '.join(wanted[:-1])} or {wanted[-1]}"


def _against(target: Target) -> str:
    """What keeps models from being compiled for a target here."""
    from denoisert.runtime.engines import driver
    from denoisert.runtime.engines.here import PACKAGES, installed, obstacle, version_of
    from denoisert.runtime.engines.target import OnnxRuntime, TensorRt, Torch

    if isinstance(target, Torch):
        return NO_ENGINE
    missing = [name for name in COMPILER if installed(name) is None]
    if missing:
        return f"the compiler needs {', '.join(missing)}, not installed here. {INSTALL}"
    oracle = obstacle(OnnxRuntime())
    if oracle:
        return f"the compiler checks every graph with ONNX Runtime: {oracle}"
    if version_of(target) is None:
        return f"it needs {PACKAGES[target.name][0]}, not installed here."
    if isinstance(target, TensorRt) and not driver.capabilities():
        return "it compiles on the GPU that it is for; the driver shows none here."
    return ""

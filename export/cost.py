"""What compiling an engine takes, as straight lines through measured builds.

Fitted on networks of 5 to 100 M parameters, each built in a fresh process on an AMD EPYC with two
cores (`python -m bench.export.engines`, docs/benchmarks.md); seconds are those of the processor, so
a busy machine takes longer. Bytes of weights are those of the dtype that the engine computes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.engines.target import HALF, INT8, EngineTarget, OnnxRuntime, engine_key

FLOAT_BYTES: Final = 4
BYTES: Final[Mapping[str, int]] = MappingProxyType({"float16": 2, "bfloat16": 2, "int8": 1})
"""Of one weight, where it is not float32."""

GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Line:
    """base + slope x bytes of weights.

    Args:
        base: without weights.
        slope: for each byte of weights.
    """

    base: float
    slope: float

    def at(self, weight_bytes: float) -> float:
        """The value for a network of so many bytes."""
        return self.base + self.slope * weight_bytes


@dataclass(frozen=True, slots=True)
class Cost:
    """What a library's compiler takes.

    Args:
        memory_bytes: of its process, at its peak.
        file_bytes: of the engine.
        seconds: of the processor.
    """

    memory_bytes: Line
    file_bytes: Line
    seconds: Line


TENSORRT: Final = Cost(Line(2.8e8, 3.5), Line(1.5e6, 1.013), Line(0.6, 11.5 / GB))
COSTS: Final[Mapping[str, Cost]] = MappingProxyType(
    {
        "openvino": Cost(Line(1.5e8, 2.2), Line(4e5, 1.0), Line(0.7, 6.0 / GB)),
        "tensorrt-rtx": TENSORRT,
        "tensorrt": TENSORRT,
    }
)
"""Target -> its compiler; tensorrt's is that of its sibling until it was measured."""


@dataclass(frozen=True, slots=True)
class EngineNeed:
    """What one engine will take.

    Args:
        name: component and key of the target.
        memory_bytes: of its compiler.
        disk_bytes: of the engine.
        seconds: of the processor.
    """

    name: str
    memory_bytes: int
    disk_bytes: int
    seconds: float


def engine_needs(
    weights: Mapping[str, int], targets: Sequence[EngineTarget]
) -> tuple[EngineNeed, ...]:
    """What the engines of a model will take.

    Args:
        weights: component -> bytes of its weights in float32.
        targets: to compile for.

    Returns:
        One entry for each component and target.
    """
    return tuple(
        engine_need(component, size, target)
        for target in targets
        for component, size in weights.items()
    )


def engine_need(component: str, weight_bytes: int, target: EngineTarget) -> EngineNeed:
    """What one engine will take.

    Args:
        component: of the bundle.
        weight_bytes: of its weights in float32.
        target: what it is for.
    """
    name, size = f"{component} {engine_key(target)}", _in_dtype(component, weight_bytes, target)
    if isinstance(target, OnnxRuntime):  # a file beside the bundle's own weights
        return EngineNeed(name, 0, size if size < weight_bytes else 0, 0.0)
    cost = COSTS[target.name]
    return EngineNeed(
        name,
        int(cost.memory_bytes.at(size)),
        int(cost.file_bytes.at(size)),
        cost.seconds.at(size),
    )


def _in_dtype(component: str, weight_bytes: int, target: EngineTarget) -> int:
    """Bytes of the weights as the engine has them; int8 is for the denoiser alone."""
    is_narrow = target.dtype in HALF or (target.dtype == INT8 and component == DENOISER)
    return weight_bytes * BYTES[target.dtype] // FLOAT_BYTES if is_narrow else weight_bytes

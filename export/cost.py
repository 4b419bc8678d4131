"""What compiling an engine takes, by formulas through measured builds.

Fitted on networks of 5 to 100 M parameters and 37 to 1,201 nodes, seconds on one of 302 M, too, in
fresh processes on an AMD EPYC with two cores, 2026-11-28; `python -m bench.export.engines` compares
whole models with them. Seconds are those of the processor, so a busy machine takes longer. Bytes of
weights are those of the dtype that the engine computes in.
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

MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a graph is.

    Args:
        weight_bytes: in float32.
        nodes: of the graph.
        attentions: among them.
        profiles: that it is compiled for.
    """

    weight_bytes: int
    nodes: int
    attentions: int
    profiles: int = 1

    @classmethod
    def usual(cls, weight_bytes: int) -> Extent:
        """Of a network whose graph is not known yet: 90 nodes x the cube root of its megabytes.

        The zoo's networks and whole ones up to 44 GB have 0.7 to 1.6 times as many.
        """
        nodes = round(90 * (weight_bytes / MB) ** (1 / 3))
        return cls(weight_bytes, nodes, nodes // 35)


@dataclass(frozen=True, slots=True)
class Cost:
    """base + weights x megabytes + nodes x nodes + attentions x attentions + square x nodes^2.

    Args:
        base: of any engine.
        weights: for each megabyte of weights.
        nodes: for each node.
        attentions: for each attention.
        square: for each pair of nodes.
        is_by_profile: whether all but base and weights come again for every profile.
    """

    base: float
    weights: float
    nodes: float = 0.0
    attentions: float = 0.0
    square: float = 0.0
    is_by_profile: bool = False

    def of(self, extent: Extent, weight_bytes: int) -> float:
        """The value for a graph whose weights take so many bytes in the engine's dtype."""
        graph = self.nodes * extent.nodes + self.attentions * extent.attentions
        graph += self.square * extent.nodes**2
        times = extent.profiles if self.is_by_profile else 1
        return self.base + self.weights * weight_bytes / MB + times * graph


@dataclass(frozen=True, slots=True)
class Costs:
    """What a library's compiler takes.

    Args:
        memory_mb: of its process, at its peak.
        file_mb: of the engine.
        seconds: of the processor.
    """

    memory_mb: Cost
    file_mb: Cost
    seconds: Cost


TENSORRT: Final = Costs(
    Cost(246, 3.00, 0.28, 4.96),
    Cost(1.0, 1.006, 0.02, 0.16),
    Cost(0.27, 0.0055, 0.0016, 0.054, 4e-6, is_by_profile=True),
)
COSTS: Final[Mapping[str, Costs]] = MappingProxyType(
    {
        "openvino": Costs(Cost(75, 1.0), Cost(0.2, 1.0, 0.0025), Cost(0.25, 0.0012)),
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

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.memory_bytes / 2**30:.2f} GiB"


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
        engine_need(component, Extent.usual(size), target)
        for target in targets
        for component, size in weights.items()
    )


def engine_need(component: str, extent: Extent, target: EngineTarget) -> EngineNeed:
    """What one engine will take.

    Args:
        component: of the bundle.
        extent: of its graph.
        target: what it is for.
    """
    size = _in_dtype(component, extent.weight_bytes, target)
    name = f"{component} {engine_key(target)}"
    if isinstance(target, OnnxRuntime):  # a file beside the bundle's own weights
        return EngineNeed(name, 0, size if size < extent.weight_bytes else 0, 0.0)
    costs = COSTS[target.name]
    return EngineNeed(
        name,
        int(MB * costs.memory_mb.of(extent, size)),
        int(MB * costs.file_mb.of(extent, size)),
        costs.seconds.of(extent, size),
    )


def _in_dtype(component: str, weight_bytes: int, target: EngineTarget) -> int:
    """Bytes of the weights as the engine has them; int8 is for the denoiser alone."""
    is_narrow = target.dtype in HALF or (target.dtype == INT8 and component == DENOISER)
    return weight_bytes * BYTES[target.dtype] // FLOAT_BYTES if is_narrow else weight_bytes

"""Pointwise operations on the clean estimate, between guidance and the solver's update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked


@runtime_checkable
class EstimateOperation(Protocol):
    """Anything that changes D before the solver sees it."""

    @property
    def rederive(self) -> bool:
        """Whether E follows the changed D or stays the network's."""
        ...

    def code(self) -> tuple[Operation, float, float]:
        """The kernel's operation and its two arguments."""
        ...


@dataclass(frozen=True, slots=True)
@checked
class Clip:
    """D clipped to [low, high].

    Args:
        low: lower bound, in latent units.
        high: upper bound.
        rederive: whether E follows the clipped D (x = alpha D + sigma E) or stays the network's.
    """

    low: float = -1.0
    high: float = 1.0
    rederive: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InvalidInput(f"clip range ({self.low}, {self.high}) is empty.")

    def code(self) -> tuple[Operation, float, float]:
        """CLIP with its bounds."""
        return Operation.CLIP, self.low, self.high


@dataclass(frozen=True, slots=True)
@checked
class DynamicThreshold:
    """D clipped to +-m and divided by m, m = min(max(quantile of |D|, 1), maximum), per slot.

    Args:
        ratio: which quantile, in (0, 1].
        maximum: upper bound of m, at least 1.
        rederive: whether E follows the thresholded D.

    Source: Saharia et al. 2022, arXiv 2205.11487, section 2.3.
    """

    ratio: float = 0.995
    maximum: float = 1.0
    rederive: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio <= 1.0 or not self.maximum >= 1.0:
            raise InvalidInput(
                "dynamic threshold needs a ratio in (0, 1] and a maximum of at least 1, found "
                f"{self.ratio} "
                f"and {self.maximum}."
            )

    def code(self) -> tuple[Operation, float, float]:
        """DYNAMIC_THRESHOLD with its quantile and maximum."""
        return Operation.DYNAMIC_THRESHOLD, self.ratio, self.maximum

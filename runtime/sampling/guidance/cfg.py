"""Classifier-free guidance, with an interval and with CFG-rescale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.rule.cpu import CFG_RESCALE
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.guidance.branches import COND, UNCOND, Branches


@dataclass(frozen=True, slots=True)
@checked
class CFG:
    """Classifier-free guidance: guided = uncond + g (cond - uncond).

    Where g = 1 the uncond branch is skipped, where g = 0 the cond branch. With `rescale` phi > 0
    the guided
    output is scaled towards the standard deviation of the cond output, (phi std(cond) / std(guided)
    + 1 - phi).

    Args:
        scale: g, one number or one per stage; 1 means no guidance.
        interval: noise levels (low, high) in sigma / alpha; guidance acts where low < sigma / alpha
            <= high.
        rescale: phi in [0, 1].

    Raises:
        InvalidInput: a value outside its range, or a rescale or interval that changes nothing.

    Source: Ho and Salimans 2022, arXiv 2207.12598, eq. 6 (w = g - 1). Interval: Kynkaanniemi et al.
    2024,
    arXiv 2404.07724. Rescale: Lin et al. 2023, arXiv 2305.08891, section 3.4.
    """

    scale: float | tuple[float, ...] = 1.0
    interval: tuple[float, float] | None = None
    rescale: float = 0.0

    def __post_init__(self) -> None:
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        if not scales or not all(math.isfinite(scale) for scale in scales):
            raise InvalidInput(
                f"guidance scale {self.scale} is not a finite number. Use 1 for no guidance."
            )
        if not 0.0 <= self.rescale <= 1.0:
            raise InvalidInput(f"guidance rescale {self.rescale} is outside 0 to 1.")
        if self.rescale > 0.0 and all(scale in (0.0, 1.0) for scale in scales):
            raise InvalidInput(
                f"guidance rescale {self.rescale} beside the scale {self.scale}, where one branch "
                "runs alone and nothing is scaled. Leave rescale out, or guide with a scale above "
                "1."
            )
        if self.interval is not None and not 0.0 <= self.interval[0] < self.interval[1]:
            raise InvalidInput(
                f"guidance interval {self.interval} must be (low, high) with 0 <= low < high."
            )
        if self.interval is not None and all(scale == 1.0 for scale in scales):
            raise InvalidInput(
                f"guidance interval {self.interval} beside the scale {self.scale}, which means no "
                "guidance inside it either. Leave interval out, or guide with a scale above 1."
            )

    def branches(self, points: Sequence[Point]) -> Branches:
        """Weights (g, 1 - g) per stage, or the CFG-rescale rule where it applies."""
        scales = self._scales(points)
        weights = np.stack([scales, 1.0 - scales], axis=1)
        rule = np.where((scales != 1.0) & (scales != 0.0) & (self.rescale > 0.0), CFG_RESCALE, 0)
        rule_args = np.zeros((len(points), 8))
        rule_args[:, 0], rule_args[:, 1] = scales, self.rescale
        return Branches((COND, UNCOND), weights, rule, rule_args)

    def _scales(self, points: Sequence[Point]) -> NDArray[np.float64]:
        if isinstance(self.scale, tuple) and len(self.scale) != len(points):
            raise InvalidInput(
                f"{len(self.scale)} guidance scales for {len(points)} stages. Give one number, "
                "or one per stage."
            )
        scales = np.broadcast_to(np.asarray(self.scale, np.float64), (len(points),)).copy()
        if self.interval is not None:
            low, high = self.interval
            level = np.array([point.sigma_ve for point in points])
            scales[~((level > low) & (level <= high))] = 1.0
        return scales

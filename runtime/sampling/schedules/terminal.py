"""Zero terminal SNR: a schedule stretched so that its last train time is pure noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.schedules.schedule import Array, NoiseSchedule
from denoisert.runtime.sampling.schedules.variance_preserving import (
    ScaledLinear,
    VariancePreserving,
)


@dataclass(frozen=True, slots=True)
@checked
class ZeroTerminalSNR(VariancePreserving):
    """alpha_n' = (alpha_n - alpha_T) alpha_0 / (alpha_0 - alpha_T), T the last train time.

    The first train time keeps its noise and the last one has alpha = 0 exactly, where an eps
    network says nothing of the clean latent: such networks are trained to predict v. (diffusers
    puts alpha^2 = 2^-24 there for its sigma solvers; in network coordinates nothing is divided.)

    Args:
        schedule: as it was before; its own last alpha is above 0.

    Raises:
        InvalidInput: not a schedule of betas, or one that has no signal at its end already.

    Source: Lin et al. 2023, arXiv 2305.08891, algorithm 1.
    """

    schedule: NoiseSchedule = field(default_factory=ScaledLinear)

    def __post_init__(self) -> None:
        if self._before.kept()[-1] == 0.0:
            raise InvalidInput(f"{self.schedule!r} ends in pure noise already; take it as it is.")

    @property
    def train_steps(self) -> int:  # type: ignore[override]
        """As many as before."""
        return self._before.train_steps

    def betas(self) -> Array:
        """1 - alpha'^2_n / alpha'^2_(n-1); the last one is 1."""
        kept = self.kept()
        return np.asarray(1.0 - kept / np.append(1.0, kept[:-1]))

    def kept(self) -> Array:
        """alpha'^2."""
        alpha = np.sqrt(self._before.kept())
        return np.asarray(np.square((alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))))

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times.

        Raises:
            InvalidInput: a time outside the trained range, or between its last two: half way to an
                infinite level is nowhere.
        """
        if np.any((model_time > self.first - 1.0) & (model_time < self.first)):
            raise InvalidInput(
                f"model times {model_time} lie between {self.first - 1:g} and {self.first:g}, "
                "where the noise level grows without bound. Ask for whole times there."
            )
        return VariancePreserving.at(self, model_time)

    @property
    def _before(self) -> VariancePreserving:
        if not isinstance(self.schedule, VariancePreserving):
            raise InvalidInput(
                f"{self.schedule!r} has no betas to rescale. Give Linear(), ScaledLinear(), "
                "Cosine(), Sigmoid() or SigmoidSignal()."
            )
        return self.schedule

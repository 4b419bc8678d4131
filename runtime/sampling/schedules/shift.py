"""Shifts of a flow's times that a request chooses: by resolution, and stretched to an end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.schedules.even import Trailing
from denoisert.runtime.sampling.schedules.flow import Flow
from denoisert.runtime.sampling.schedules.schedule import NoiseSchedule
from denoisert.runtime.sampling.schedules.spacing import (
    Final,
    Spacing,
    pinned_steps,
    visit,
)

PLANE = 3
"""Axes of a latent that has a height and a width."""


class Growth(Enum):
    """How mu becomes the shift: EXPONENTIAL exp(mu), LINEAR mu itself."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"

    def __repr__(self) -> str:
        return f"Growth.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class Shifted:
    """A spacing on a flow of another shift than the one it was trained with.

    Args:
        spacing: where the points lie before the shift.
        shift: instead of the schedule's, above 0.

    Raises:
        InvalidInput: a shift that is not positive and finite.

    Source: Esser et al. 2024, arXiv 2403.03206, eq. 23.
    """

    spacing: Spacing = field(default_factory=Trailing)
    shift: float = 3.0

    def __post_init__(self) -> None:
        Flow(self.shift)

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: a schedule that is no flow.
        """
        return self.spacing.grid(replace(_flow(self, schedule), shift=self.shift), steps)


@dataclass(frozen=True, slots=True)
@checked
class ResolutionShifted:
    """A spacing on a flow whose shift grows with the number of tokens.

    mu = base_shift + (max_shift - base_shift) (tokens - base_tokens) / (max_tokens - base_tokens)

    Args:
        spacing: where the points lie before the shift.
        tokens: number of tokens that the network sees of the latent, above 0; beyond max_tokens mu
            grows on. Where `edge` is given they are those of a latent whose size is not known.
        base_shift: mu of base_tokens.
        max_shift: mu of max_tokens.
        base_tokens: above 0.
        max_tokens: above base_tokens.
        growth: how mu becomes the shift.
        edge: of a token, in positions of the latent: a request's latent says how many tokens it
            has, so that one spacing serves every size. None takes `tokens` for all of them.

    Raises:
        InvalidInput: token counts outside their range, or a shift that is not above 0.

    Source: `use_dynamic_shifting` of diffusers' FlowMatchEulerDiscreteScheduler, calculate_shift of
    its pipelines.
    """

    spacing: Spacing = field(default_factory=Trailing)
    tokens: int = 4096
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_tokens: int = 256
    max_tokens: int = 4096
    growth: Growth = Growth.EXPONENTIAL
    edge: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.base_tokens < self.max_tokens and self.tokens > 0):
            raise InvalidInput(f"{self}: give tokens above 0 and 0 < base_tokens < max_tokens.")
        if self.edge is not None and self.edge < 1:
            raise InvalidInput(f"{self}: a token has an edge of at least 1 position, or None.")
        if not (math.isfinite(self.mu) and 0.0 < self.shift < math.inf):
            raise InvalidInput(
                f"{self} has mu = {self.mu:g}, which gives no shift above 0. Use "
                "Growth.EXPONENTIAL and finite shifts."
            )

    @property
    def mu(self) -> float:
        """Linear in the number of tokens."""
        slope = (self.max_shift - self.base_shift) / (self.max_tokens - self.base_tokens)
        return self.base_shift + slope * (self.tokens - self.base_tokens)

    @property
    def shift(self) -> float:
        """The shift that these tokens get."""
        return math.exp(self.mu) if self.growth is Growth.EXPONENTIAL else self.mu

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def of(self, shape: tuple[int, ...]) -> ResolutionShifted:
        """The same with the tokens of a latent, where they follow from its size.

        Args:
            shape: (C, ..., H, W).

        Raises:
            InvalidInput: tokens that give no shift.
        """
        if self.edge is None or len(shape) < PLANE:
            return self
        height, width = (size // self.edge for size in shape[-2:])
        return replace(self, tokens=math.prod(shape[1:-2]) * height * width)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: a schedule that is no flow.
        """
        _flow(self, schedule)
        return Shifted(self.spacing, self.shift).grid(schedule, steps)


@dataclass(frozen=True, slots=True)
@checked
class Stretched:
    """A spacing on a flow, stretched from t = 1 so that the last visited t is `terminal`.

    t' = 1 - (1 - t) (1 - terminal) / (1 - t_last)

    Args:
        spacing: where the points lie before; its final point is of no noise.
        terminal: in (0, 1).

    Raises:
        InvalidInput: a terminal outside (0, 1).

    Source: `shift_terminal` of diffusers' FlowMatchEulerDiscreteScheduler.
    """

    spacing: Spacing = field(default_factory=Trailing)
    terminal: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.terminal < 1.0:
            raise InvalidInput(f"terminal {self.terminal} must lie between 0 and 1.")

    @property
    def steps(self) -> int | None:
        """Those that the spacing is pinned to."""
        return pinned_steps(self.spacing)

    def grid(self, schedule: NoiseSchedule, steps: int) -> Grid:
        """The grid of `steps` intervals.

        Raises:
            InvalidInput: a schedule that is no flow, or a single step, which visits t = 1 alone.
        """
        flow = _flow(self, schedule)
        t = self.spacing.grid(flow, steps).sigma[:-1]
        if t[-1] >= 1.0:
            raise InvalidInput(
                f"{self} stretches the times after the first. Ask for at least 2 steps."
            )
        stretched = 1.0 - (1.0 - t) * ((1.0 - self.terminal) / (1.0 - t[-1]))
        return visit(flow, flow.time_scale * stretched, Final.ZERO)


def _flow(spacing: Shifted | ResolutionShifted | Stretched, schedule: NoiseSchedule) -> Flow:
    if not isinstance(schedule, Flow):
        raise InvalidInput(
            f"{spacing} moves the times of a flow, and {schedule} is none. Use "
            f"{spacing.spacing} alone."
        )
    return schedule

"""Where one network hands a run over to another, and what each of the two is asked.

Source: `denoising_end` and `denoising_start` of diffusers' pipelines with a refiner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import pixel_size
from denoisert.runtime.conditioning import PROMPT
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.request import SEEDS, Condition, Noised, Request, Start, Value
from denoisert.runtime.sampling.schedules import After, Before, NoiseSchedule, Spacing
from denoisert.runtime.sampling.schedules.spacing import pinned_steps

NEARLY = 1e-6
"""Relative difference of two noise levels that are the same but for rounding."""

SEED_OFFSET = SEEDS // 2
"""Noise that a solver adds behind the handover is not that of the first steps again."""


@dataclass(frozen=True, slots=True)
class Handover:
    """A run that two networks of the same state and noise schedule divide.

    Args:
        base: card of the network that begins.
        refiner: card of the one that ends.
        share: of the training times, how much is behind when the refiner begins, in (0, 1).

    Raises:
        InvalidInput: a share outside its range, or other states or schedules.
    """

    base: Card
    refiner: Card
    share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise InvalidInput(
                f"the refiner takes over at {self.share}; give a share of the run between 0 and 1, "
                "such as 0.8."
            )
        self._check_same("states", _parts)
        self._check_same("noise schedules", lambda card: card.training.schedule)

    @property
    def level(self) -> float:
        """The noise level, sigma / alpha, of the handover on the base's schedule."""
        schedule = self.base.training.schedule
        (alpha,), (sigma,) = schedule.at(np.array([_border(schedule, self.share)]))
        return float(sigma / alpha) if alpha > 0 else np.inf

    def first(self, request: Request) -> Request:
        """What the base is asked."""
        return replace(
            request,
            condition=_told(request.told, self.base, self.refiner),
            steps=self._steps(request),
            schedule=Before(_spacing(request, self.base), self.level),
        )

    def second(self, request: Request, latents: NDArray[np.float32] | None = None) -> Request:
        """What the refiner is asked.

        Args:
            request: of both.
            latents: (images, elements) that the base has left; zeros to see whether it would fit.
        """
        layout = self._layout(request)
        if latents is None:
            latents = np.zeros((request.images, layout.elements), np.float32)
        return replace(
            request,
            condition=_told(request.told, self.refiner, self.base),
            seed=(int(request.seed) + SEED_OFFSET) % SEEDS,
            size=pixel_size(self.base, layout),
            steps=self._steps(request),
            schedule=After(_spacing(request, self.refiner), self.level),
            start=Start(latents, noised=Noised.ALREADY),
        )

    def check(self, request: Request) -> None:
        """Refuse a request that cannot be handed over.

        Raises:
            InvalidInput: a mask, a level outside the steps, or two schedules of which one ends
                elsewhere than the other begins.
        """
        if request.start is not None and request.start.mask is not None:
            raise InvalidInput(
                "a mask and a refiner, which would paint over what the mask keeps. Repaint with "
                "the base alone."
            )
        schedule, steps = self.base.training.schedule, self._steps(request)
        spacings = _spacing(request, self.base), _spacing(request, self.refiner)
        before = Before(spacings[0], self.level).grid(schedule, steps)
        left = before[before.stop or 0].sigma_ve
        taken = After(spacings[1], self.level).grid(schedule, steps)[0].sigma_ve
        if abs(left - taken) > NEARLY * max(left, taken):
            raise InvalidInput(
                f"the base leaves its latent at sigma / alpha = {left:g} and the refiner begins at "
                f"{taken:g}, for their cards recommend {spacings[0]} and {spacings[1]}. Name one "
                "schedule for both in the request."
            )

    def _steps(self, request: Request) -> int:
        """Steps of the whole run."""
        pinned = pinned_steps(_spacing(request, self.base))
        return int(request.steps or pinned or self.base.sampler.steps)

    def _layout(self, request: Request) -> StateLayout:
        """The base's layout of the size asked for; the first where there is none."""
        for layout in self.base.layouts:
            if request.size is not None and pixel_size(self.base, layout) == tuple(request.size):
                return layout
        return self.base.layout

    def _check_same(self, what: str, read: Callable[[Card], object]) -> None:
        left, right = read(self.base), read(self.refiner)
        if left != right:
            raise InvalidInput(
                f"{self.base.name} and {self.refiner.name} have different {what}: {left} and "
                f"{right}. A refiner goes on where its base stops; take two that belong together."
            )


def _parts(card: Card) -> list[tuple[str, int]]:
    """Names and channels of the state; the refiner's planner compares sizes."""
    return [(part.name, part.channels) for part in card.layout.parts]


def _border(schedule: NoiseSchedule, share: float) -> float:
    """The model time where a share of the training times is behind; whole where those are."""
    count = schedule.train_steps
    if count is None:
        return float(schedule.spaced(np.array([1.0 - share]))[0])
    return min(float(round(count - share * count)), float(count - 1))


def _spacing(request: Request, card: Card) -> Spacing:
    return request.schedule or card.sampler.spacing


def _told(condition: Condition, card: Card, other: Card) -> Condition:
    """A condition without the names that the other network alone knows."""
    foreign = _names(other) - _names(card)

    def mine(value: Value) -> Value:
        if not isinstance(value, Mapping):
            return value
        return {name: each for name, each in value.items() if name not in foreign}

    return Condition(mine(condition.positive), mine(condition.negative))


def _names(card: Card) -> set[str]:
    """Every name by which a condition can tell a network something."""
    inputs = card.conditions
    numbers = {measure.quantity.value for entry in inputs for measure in entry.measures}
    others = {entry.name for entry in inputs if not entry.encoder and not entry.measures}
    return {PROMPT, *(text.name for text in card.texts), *others, *numbers}

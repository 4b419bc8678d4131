"""What a ticket tells while its request runs.

A slow reader loses intermediate `Stepped` events and all but the newest `Preview` of an image; it
never delays a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import DenoiseRTError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Admitted:
    """The first picture of the request got a slot."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A picture moved on.

    Args:
        image: number of the picture in its request.
        step: stages done, 1 .. steps.
        steps: stages in all, S of the plan.
    """

    image: int
    step: int
    steps: int


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What the picture would be if its clean estimate were final.

    Args:
        image: number of the picture in its request.
        step: stages done.
        latent: the clean estimate after guidance, (elements,) float32.
        draw: turns such a latent into a picture.
    """

    image: int
    step: int
    latent: NDArray[np.float32] = field(repr=False)
    draw: Callable[[NDArray[np.float32]], Image] = field(repr=False)

    @property
    def picture(self) -> Image:
        """A cheap picture of it, computed anew at every access in the thread that asks.

        Raises:
            InvalidInput: the card says nothing about how such latents look.
        """
        return self.draw(self.latent)


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of every ticket.

    Args:
        error: why the request failed, None when its result is ready.
    """

    error: DenoiseRTError | None = None


Event = Admitted | Stepped | Preview | Ended

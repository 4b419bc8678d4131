"""What a demo model is asked for, and how its pictures are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime import Request, Result
from denoisert.runtime.sampling.schedules import Spacing

OWN = "card"  # the name of the spacing that the card recommends
REFERENCES = ("dpmpp_2m", "unipc", "heun")  # candidates for the many steps, which must hold still


@dataclass(frozen=True, slots=True)
class Scores:
    """What a measure says of every picture.

    Args:
        distance: (pictures,) root mean square difference to the nearest picture that was meant.
        hits: (pictures,) whether it is what was asked for.
    """

    distance: NDArray[np.float64]
    hits: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A demo model and its measure.

    Args:
        name: of the model in the zoo.
        distance: what `Scores.distance` is, for a figure.
        conditions: what is asked for, a request each.
        images: pictures of a request.
        score: judges the results of all requests, in their order.
        spacings: by name, beside the card's own.
        shown: those of them whose best lines are in the figure.
        selected: names of the solvers that run on those.
        named: solvers and spacings that the figure names in any case.
    """

    name: str
    distance: str
    conditions: tuple[int | str, ...]
    images: int
    score: Callable[[Sequence[Result]], Scores]
    spacings: Mapping[str, Spacing]
    shown: tuple[str, ...]
    selected: tuple[str, ...]
    named: tuple[tuple[str, str], ...]

    def requests(self, spacing: Spacing | None) -> list[Request]:
        """What is asked for, on a spacing; None is the card's own."""
        return [
            Request(condition, seed=seed, images=self.images, schedule=spacing)
            for seed, condition in enumerate(self.conditions)
        ]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a sampler made of the requests.

    Args:
        latents: (pictures, elements), float64.
        scores: of the pictures.
    """

    latents: NDArray[np.float64]
    scores: Scores


def standard_error(values: NDArray[Any]) -> float:
    """Of the mean of independent values; of a share, one more half hit and half miss are put in.

    That leaves something of the doubt where all of few pictures are right.
    """
    count = len(values)
    if values.dtype == np.bool_:
        share = (float(values.sum()) + 0.5) / (count + 1.0)
        return float(np.sqrt(share * (1.0 - share) / count))
    return float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0

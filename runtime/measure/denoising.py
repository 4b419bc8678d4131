"""How far a network's clean estimates are from the truth, over the noise levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Request, Start
from denoisert.runtime.runtime import Runtime
from denoisert.runtime.sampling.guidance import EmbeddedGuidance, Unguided
from denoisert.runtime.sampling.oracle import Denoiser, Gaussian, Mixture
from denoisert.runtime.sampling.schedules import Levels, Rounded, Spacing
from denoisert.runtime.sampling.schedules.optimise import Denoise, ErrorCurve
from denoisert.runtime.sampling.solvers import DDIM

Latents = NDArray[Any]
Told = Callable[[int, int], None]


def of_oracle(denoiser: Denoiser) -> Denoise:
    """D of a denoiser known in closed form, on x0 + level eps.

    Args:
        denoiser: of the data.
    """

    def denoise(latents: Latents, level: float) -> Latents:
        clean, _ = denoiser.estimates(latents.reshape(-1), 1.0, level)
        return np.asarray(clean.reshape(latents.shape))

    return denoise


def drawn(denoiser: Denoiser, seed: int, count: int, width: int) -> Latents:
    """Samples of data known in closed form.

    Args:
        denoiser: of the data, Gaussian or a mixture.
        seed: of the draws.
        count: number of points.
        width: elements of a point.

    Returns:
        (count, width).

    Raises:
        InvalidInput: data that cannot be drawn from.
    """
    if not isinstance(denoiser, Gaussian | Mixture):
        raise InvalidInput(f"{denoiser!r} has no samples. Take a Gaussian or a mixture.")
    return denoiser.sample(np.random.default_rng(seed), count).reshape(count, width)


def clean_latents(runtime: Runtime, requests: Sequence[Request]) -> Latents:
    """What the model itself makes: data to measure it on where there are no others.

    Args:
        runtime: of the bundle.
        requests: each for one picture.

    Returns:
        (requests, elements).

    Raises:
        DenoiseRTError: a request that failed.
    """
    return np.concatenate([_flat(result) for result in runtime.generate(list(requests))])


def bundle_curve(
    runtime: Runtime,
    requests: Sequence[Request],
    clean: Latents,
    levels: Latents,
    progress: Told | None = None,
) -> ErrorCurve:
    """The error curve of a bundle's network, without guidance.

    One first-order step from noise level s to 0 ends in D itself, so that each level is one request
    for each latent: alpha x0 + sigma eps at its own seed, which is the same at every level.

    Args:
        runtime: of the bundle.
        requests: what the network is told about each latent, and the seed of its noise.
        clean: (requests, elements) of the data.
        levels: (M,) rising, see `levels_of`.
        progress: told after each level how many are done, of how many.

    Returns:
        The curve.

    Raises:
        InvalidInput: fewer than 2 latents, or another number of them than requests.
        DenoiseRTError: a request that failed.
    """
    if len(requests) != len(clean) or len(clean) < 2:
        raise InvalidInput(
            f"{len(clean)} clean latents for {len(requests)} requests; give as many, at least 2."
        )
    error = []
    for done, level in enumerate(levels, 1):
        asked = [
            replace(
                request,
                steps=1,
                solver=DDIM(),
                schedule=_single(runtime.card, float(level)),
                guidance=EmbeddedGuidance(1.0) if runtime.card.network.guidance else Unguided(),
                start=Start(latent, 1.0),
            )
            for request, latent in zip(requests, clean, strict=True)
        ]
        found = np.concatenate([_flat(result) for result in runtime.generate(asked)])
        error.append(float(np.mean(np.square(clean - found, dtype=np.float64))))
        if progress is not None:
            progress(done, len(levels))
    variance = float(clean.var(axis=0, ddof=1, dtype=np.float64).mean())
    return ErrorCurve(np.asarray(levels, np.float64), np.array(error), variance)


def levels_of(card: Card, low: float | None, high: float | None, count: int) -> Latents:
    """Levels that a network can be asked at, geometric between two ends.

    Args:
        card: of the model.
        low: least level; None takes that of the schedule's last time.
        high: most noise; None takes that of its first time.
        count: about how many; a network of whole times may have fewer.

    Returns:
        (at most count,) rising.

    Raises:
        InvalidInput: an end that is 0 or infinite, or a network that was trained at few times only.
    """
    schedule = card.training.schedule
    if card.training.timesteps:
        raise InvalidInput(
            f"{card.name} was trained at {card.training.timesteps} only, so there is nothing to "
            "choose. Use the card's recommended steps and schedule."
        )
    alpha, sigma = schedule.at(np.array([schedule.last, schedule.first]))
    with np.errstate(divide="ignore"):
        ends = sigma / alpha
    low, high = float(ends[0]) if low is None else low, float(ends[1]) if high is None else high
    if not 0.0 < low < high < np.inf:
        raise InvalidInput(
            f"levels from {low:g} to {high:g}: both must be above 0, finite and rising. Give "
            "--sigma-min and --sigma-max, such as 0.01 and 50."
        )
    levels = np.geomspace(low, high, count)
    if not _is_whole(card):
        return levels
    times = np.unique(np.round(schedule.model_time(levels)))
    alpha, sigma = schedule.at(times)
    return np.asarray((sigma / alpha)[alpha > 0])


def _is_whole(card: Card) -> bool:
    return card.network.time_dtype.startswith("int")


def _single(card: Card, level: float) -> Spacing:
    spacing = Levels((level, 0.0))
    return Rounded(spacing) if _is_whole(card) else spacing


def _flat(result: Any) -> Latents:  # noqa: ANN401
    if result.error is not None:
        raise result.error
    return np.asarray(result.flat)

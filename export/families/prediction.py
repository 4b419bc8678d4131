"""A denoiser's one output: the estimate, and a learned variance behind it where one is read."""

from __future__ import annotations

from typing import Final

from denoisert.export.families.configuration import whole
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.scheduler import Sampling
from denoisert.runtime.bundle.card import Network, OutputSlice, TimeShape
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.solvers import DDPM, Bounded, Variance

PREDICTION: Final = "prediction"
TIME: Final = "time"


def state_channels(denoiser: Component, latent: int, *, default: int = 4, beside: int = 0) -> int:
    """Channels of the state, on which the denoiser and what made its latents agree.

    Args:
        denoiser: takes `in_channels`, returns as many `out_channels` or twice as many.
        latent: channels that the autoencoder has.
        default: `in_channels` of the class.
        beside: how many of them are none of the state's, such as a mask's.

    Raises:
        ExportError: they do not agree.
    """
    found = whole(denoiser, "in_channels", default) - beside
    predicted = whole(denoiser, "out_channels", found)
    if found != latent or predicted not in (found, 2 * found):
        raise ExportError(
            f"{denoiser.name} takes {found} channels and returns {predicted}, the autoencoder has "
            f"{latent}; only models that denoise nothing but the autoencoder's latent are compiled."
        )
    return latent


def check_flow(sampling: Sampling, scheduler: Component, model: str) -> None:
    """Refuse a scheduler that takes a flow's velocity for something else.

    Args:
        sampling: what the scheduler was read as.
        scheduler: of the folder.
        model: whose network it is.

    Raises:
        ExportError: it is no flow's.
    """
    read = sampling.training.parametrisation
    if read is not Parametrisation.FLOW:
        raise ExportError(
            f"{scheduler.class_name} reads a network of {read.value}; that of {model} predicts a "
            "flow's velocity. Save the pipeline with FlowMatchEulerDiscreteScheduler."
        )


def output_ports(denoiser: Component, *, default: int = 4) -> int:
    """How many estimates the output holds: 2 where its channels are twice those of the state."""
    taken = whole(denoiser, "in_channels", default)
    return 2 if whole(denoiser, "out_channels", taken) == 2 * taken else 1


def network_of(channels: int, sampling: Sampling, *, scalars: tuple[str, ...] = ()) -> Network:
    """Time per lane in, the prediction out.

    Args:
        channels: of the state.
        sampling: whether its solver reads a learned variance.
        scalars: inputs fed from the table.
    """
    solver = sampling.recommended.solver
    inner = solver.solver if isinstance(solver, Bounded) else solver
    is_learned = isinstance(inner, DDPM) and inner.variance is not Variance.FIXED
    firsts = (0, channels) if is_learned else (0,)
    ports = tuple((OutputSlice(PREDICTION, first, channels),) for first in firsts)
    return Network(TIME, TimeShape.LANES, "float32", ports, scalars)

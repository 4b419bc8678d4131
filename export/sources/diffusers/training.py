"""How a network was trained, from the configuration of its scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from denoisert.export.sources.diffusers.defaults import Settings
from denoisert.export.sources.diffusers.families import DDPM, FLOWS, KDPM2, PNDM, canonical
from denoisert.export.sources.diffusers.settings import pick
from denoisert.runtime.bundle.card import Training
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Flow,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    Sigmoid,
    ZeroTerminalSNR,
)

FLOW_PREDICTION: Final = "flow_prediction"
PARAMETRISATIONS: Final[Mapping[str, Parametrisation]] = {
    "epsilon": Parametrisation.EPS,
    "sample": Parametrisation.X0,
    "v_prediction": Parametrisation.V,
}
"""diffusers' name -> ours, on every path."""

SCHEDULES: Final[Mapping[str, Callable[[float, float, int], NoiseSchedule]]] = {
    "linear": Linear,
    "scaled_linear": ScaledLinear,
    "squaredcos_cap_v2": lambda start, end, count: Cosine(count),
}
WITHOUT_SAMPLE: Final = (PNDM, "EulerAncestralDiscreteScheduler", *KDPM2)
"""Classes that read no network of the clean latent."""

OF_DDPM: Final = {"sigmoid": Sigmoid}
"""Further schedules of betas that one class alone has."""


def read_training(class_name: str, settings: Settings) -> Training:
    """Parametrisation and schedule of a typed scheduler configuration.

    Args:
        class_name: of the scheduler.
        settings: what `read_settings` returned.

    Raises:
        InvalidInput: a name or a number that no schedule has.
    """
    count = settings["num_train_timesteps"]
    if class_name in FLOWS:
        return Training(Parametrisation.FLOW, Flow(settings["shift"], _scale(count)))
    if settings.get("use_flow_sigmas"):
        meaning = pick(
            settings, "prediction_type", {**PARAMETRISATIONS, FLOW_PREDICTION: Parametrisation.FLOW}
        )
        return Training(meaning, Flow(settings["flow_shift"], _scale(count)))
    meanings = dict(PARAMETRISATIONS)
    if class_name in WITHOUT_SAMPLE:
        del meanings["sample"]
    meaning = pick(settings, "prediction_type", meanings)
    known = {**SCHEDULES, **(OF_DDPM if canonical(class_name) == DDPM else {})}
    betas = pick(settings, "beta_schedule", known)
    schedule = betas(settings["beta_start"], settings["beta_end"], count)
    if settings.get("rescale_betas_zero_snr"):
        schedule = ZeroTerminalSNR(schedule)
    return Training(meaning, schedule)


def _scale(count: int) -> float:
    if count < 2:
        raise InvalidInput(f"num_train_timesteps is {count}; give 2 or more.")
    return float(count)

"""The scheduler of consistency models, which computes a part of their network.

Its network lies inside a boundary condition, which no parametrisation has: that belongs into the
graph, so that the graph answers the clean estimate. What is left is the sampler.

Source: CMStochasticIterativeScheduler of diffusers 0.42.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from denoisert.export.sources.diffusers.defaults import Settings
from denoisert.export.sources.diffusers.scheduler import Sampling
from denoisert.export.sources.diffusers.settings import complete
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import VE, Karras, Label, Thinned
from denoisert.runtime.sampling.solvers import Bounded, ConsistencyMultistep, Solver

CONSISTENCY: Final = "CMStochasticIterativeScheduler"
DEFAULTS: Final[Settings] = {
    "num_train_timesteps": 40,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "s_noise": 1.0,
    "rho": 7.0,
    "clip_denoised": True,
}
STEPS: Final = 1


@dataclass(frozen=True, slots=True)
class Boundary:
    """What makes a network's answer F a clean estimate that is the state itself at sigma_min.

    D = c_skip x + c_out F(x / sqrt(sigma^2 + data^2), 250 log sigma),
    c_skip = data^2 / ((sigma - least)^2 + data^2),
    c_out = (sigma - least) data / sqrt(sigma^2 + data^2).

    Args:
        least: sigma_min, the level where D = x.
        data: standard deviation of the data.

    Raises:
        InvalidInput: a level or deviation that is not above 0.

    Source: Song et al. 2023, arXiv 2303.01469, appendix C.
    """

    least: float
    data: float

    def __post_init__(self) -> None:
        if not (self.least > 0.0 and self.data > 0.0):
            raise InvalidInput(
                f"sigma_min {self.least} and sigma_data {self.data} must be above 0."
            )


def read_boundary(config: Mapping[str, Any]) -> Boundary:
    """The boundary condition of a scheduler configuration.

    Raises:
        ExportError: a wrong value, or a setting that no table reproduces.
    """
    settings = _read(config)
    return Boundary(settings["sigma_min"], settings["sigma_data"])


def read_consistency(config: Mapping[str, Any]) -> Sampling:
    """Training and sampler of a scheduler configuration: one step from the noise to the picture.

    Args:
        config: what its configuration file holds.

    Raises:
        ExportError: a wrong value, or a setting that no table reproduces.
    """
    settings = _read(config)
    low, high = settings["sigma_min"], settings["sigma_max"]
    try:
        schedule = VE(low, high, Label.SIGMA)
        spacing = Thinned(Karras(settings["rho"], low, high), settings["num_train_timesteps"])
        spacing.grid(schedule, STEPS)
        solver: Solver = ConsistencyMultistep(low)
    except InvalidInput as error:
        raise _wrong(error) from error
    if settings["clip_denoised"]:
        solver = Bounded(solver, Clip())
    training = Training(Parametrisation.X0, schedule, distilled=True)
    return Sampling(training, Recommended(solver, spacing, STEPS), ())


def _read(config: Mapping[str, Any]) -> Settings:
    try:
        settings = complete(CONSISTENCY, config, DEFAULTS)
        Boundary(settings["sigma_min"], settings["sigma_data"])
    except InvalidInput as error:
        raise _wrong(error) from error
    if settings["s_noise"] != DEFAULTS["s_noise"]:
        raise ExportError(
            f"{CONSISTENCY} has s_noise = {settings['s_noise']}; only 1.0 is reproduced here. "
            "Save the pipeline with another scheduler configuration."
        )
    return settings


def _wrong(error: InvalidInput) -> ExportError:
    return ExportError(f"{CONSISTENCY}: {error} Correct scheduler_config.json.")

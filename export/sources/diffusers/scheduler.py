"""A scheduler configuration as what our tables mean: how the network was trained, and a sampler.

The training has to be exact. For the sampler, what diffusers would do otherwise is said in notes,
see `deviations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from denoisert.export.sources.diffusers.classes import shown
from denoisert.export.sources.diffusers.deviations import FLOW, MULTISTEP, deviations, end_of
from denoisert.export.sources.diffusers.settings import Settings, read_settings
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.guidance import Guidance, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    NoiseSchedule,
    ScaledLinear,
    Spacing,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    Heun,
    Solver,
)

STEPS: Final = 25
SPACINGS: Final = ("leading", "linspace", "trailing")
ENDS: Final = ("zero", "sigma_min")
FLOW_TIMES: Final = 1000

PARAMETRISATIONS: Final[Mapping[str, Parametrisation]] = {
    "epsilon": Parametrisation.EPS,
    "sample": Parametrisation.X0,
    "v_prediction": Parametrisation.V,
}
"""diffusers' name -> ours."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a scheduler configuration means.

    Args:
        training: for the card.
        recommended: for the card.
        notes: where diffusers would do something else, one sentence each.
    """

    training: Training
    recommended: Recommended
    notes: tuple[str, ...]


def read_scheduler(
    class_name: str, config: Mapping[str, Any], guidance: Guidance | None = None
) -> Sampling:
    """Training, recommended sampler and notes of a scheduler configuration.

    Args:
        class_name: the scheduler's class in diffusers.
        config: its configuration.
        guidance: recommended guidance; none by default.

    Raises:
        ExportError: an unknown class, a wrong value, or a setting that the tables do not mean.
    """
    try:
        settings = read_settings(class_name, config)
        training = _training(class_name, settings)
        spacing = _spacing(class_name, settings)
        steps = _steps(spacing, training.schedule)
        solver = _solver(class_name, settings)
        solver.rows(spacing.grid(training.schedule, steps))
    except InvalidInput as error:
        raise ExportError(f"{class_name}: {error} Correct scheduler_config.json.") from error
    recommended = Recommended(solver, spacing, steps, guidance or Unguided())
    return Sampling(training, recommended, tuple(deviations(class_name, settings, spacing)))


def _training(class_name: str, settings: Settings) -> Training:
    count = settings["num_train_timesteps"]
    if class_name == FLOW:
        if count != FLOW_TIMES:
            raise InvalidInput(f"num_train_timesteps is {count}; flows are read with {FLOW_TIMES}.")
        return Training(Parametrisation.FLOW, Flow(settings["shift"], float(count)))
    name, betas = settings["prediction_type"], settings["beta_schedule"]
    if name not in PARAMETRISATIONS:
        raise InvalidInput(
            f"prediction_type {shown(name)} is unknown; known are {', '.join(PARAMETRISATIONS)}."
        )
    ends = settings["beta_start"], settings["beta_end"]
    schedules: dict[str, Callable[[], NoiseSchedule]] = {
        "linear": lambda: Linear(*ends, count),
        "scaled_linear": lambda: ScaledLinear(*ends, count),
        "squaredcos_cap_v2": lambda: Cosine(count),
    }
    if betas not in schedules:
        raise InvalidInput(
            f"beta_schedule {shown(betas)} is unknown; known are {', '.join(schedules)}."
        )
    return Training(PARAMETRISATIONS[name], schedules[betas]())


def _solver(class_name: str, settings: Settings) -> Solver:
    if class_name == MULTISTEP:
        return _multistep(settings)
    solvers: dict[str, Solver] = {
        "DDIMScheduler": DDIM(),
        "EulerAncestralDiscreteScheduler": EulerAncestral(),
        "EulerDiscreteScheduler": Euler(),
        "HeunDiscreteScheduler": Heun(),
        "PNDMScheduler": DPMpp2M(),
        FLOW: FlowEuler(),
    }
    return solvers[class_name]


def _multistep(settings: Settings) -> Solver:
    """DPM-Solver++ of order 1 is DDIM; an Euler step at the end is order 1 whatever the steps."""
    if settings["solver_order"] == 1:
        return DDIM()
    if settings["euler_at_final"]:
        return DPMpp2M(lower_order_below=settings["num_train_timesteps"] + 1)
    return DPMpp2M() if settings["lower_order_final"] else DPMpp2M(lower_order_below=0)


def _spacing(class_name: str, settings: Settings) -> Spacing:
    if class_name == FLOW:
        return Linspace()
    for key, known in (("timestep_spacing", SPACINGS), ("final_sigmas_type", ENDS)):
        if settings.get(key, known[0]) not in known:
            raise InvalidInput(
                f"{key} {shown(settings[key])} is unknown; known are {', '.join(known)}."
            )
    name, end = settings["timestep_spacing"], end_of(class_name, settings)
    if settings.get("use_karras_sigmas"):
        ends = settings.get("sigma_min"), settings.get("sigma_max")
        return Karras(sigma_min=ends[0], sigma_max=ends[1], final=end)
    if name == "trailing" or class_name == MULTISTEP:
        return Trailing(end)
    return Linspace(end) if name == "linspace" else Leading(settings["steps_offset"], end)


def _steps(spacing: Spacing, schedule: NoiseSchedule) -> int:
    """About 25, and under linspace a number at which no time has to be rounded."""
    count = schedule.train_steps
    if count is None:
        return STEPS
    if isinstance(spacing, Linspace):
        fitting = (steps for steps in (STEPS, *range(20, 31)) if (count - 1) % (steps - 1) == 0)
        return min(next(fitting, STEPS), count)
    return min(STEPS, max(2, count // 2))

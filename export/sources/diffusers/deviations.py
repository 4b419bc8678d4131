"""Where diffusers' schedulers do something else than the recommended sampler; never silent.

- Euler and Heun start from sigma times the noise where the first time is the last train time;
  here a run starts from the noise itself. For the betas of latent models that sigma is 0.998.
- DDIM steps back by T // N whatever it visits, and Euler visits fractional times under linspace.
- DPM-Solver divides linspace and leading into N + 1 parts and tells the network whole times under
  Karras; its trailing times are ours.
- A run that ends at the least trained level, but visits it before, has a last step of no length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from denoisert.export.sources.diffusers.classes import shown
from denoisert.export.sources.diffusers.settings import Settings
from denoisert.runtime.sampling.schedules import Final as End
from denoisert.runtime.sampling.schedules import Karras, Linspace, Spacing

MULTISTEP: Final = "DPMSolverMultistepScheduler"
FLOW: Final = "FlowMatchEulerDiscreteScheduler"
SIGMA_STATES: Final = (
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
)
"""Schedulers whose state is x / alpha."""


def deviations(class_name: str, settings: Settings, spacing: Spacing) -> Iterator[str]:
    """Where diffusers would do something else."""
    if class_name == FLOW:
        if settings["shift"] != 1.0:
            yield (
                f"diffusers shifts the last of its flow times twice (shift {settings['shift']:g}); "
                "here every time is shifted once."
            )
        return
    yield from _solver_notes(class_name, settings)
    yield from _time_notes(class_name, settings, spacing)
    if _keeps_noise(settings) and end_of(class_name, settings) is End.ZERO:
        yield (
            "diffusers' last step would change nothing, as the last visited time is the least "
            "trained one; here that step removes the noise."
        )
    for key in ("clip_sample", "thresholding"):
        if settings.get(key):
            yield f"diffusers changes the clean estimate ({key}); the recommended sampler does not."


def _solver_notes(class_name: str, settings: Settings) -> Iterator[str]:
    if class_name == "PNDMScheduler":
        yield "PNDM is replaced by DPM-Solver++(2M) on the same times."
    for key, known in (
        ("solver_order", (1, 2)),
        ("algorithm_type", ("dpmsolver++",)),
        ("solver_type", ("midpoint",)),
    ):
        if settings.get(key, known[0]) not in known:
            yield f"{key} {shown(settings[key])} is replaced by DPM-Solver++(2M), midpoint."
    if settings.get("lambda_min_clipped") is not None:
        yield "lambda_min_clipped is not used: the run starts at the last train time."


def _time_notes(class_name: str, settings: Settings, spacing: Spacing) -> Iterator[str]:
    """Differences between the times that are visited, and at the start."""
    name, is_karras = settings["timestep_spacing"], isinstance(spacing, Karras)
    if class_name in SIGMA_STATES and name != "leading":
        yield (
            "diffusers starts from sigma times the noise, sigma being that of the first time; here "
            "a run starts from the noise itself."
        )
    if class_name == MULTISTEP and is_karras:
        yield "diffusers tells the network whole times under Karras; here they are exact."
    elif class_name == MULTISTEP and not is_karras and name != "trailing":
        yield (
            f"diffusers' DPM-Solver divides {name} into one part more than there are steps and "
            "leaves out time 0; the recommended spacing is trailing."
        )
    elif class_name == "DDIMScheduler" and name != "leading":
        yield (
            f"diffusers' DDIM steps back by the same whole time whatever it visits; under {name} "
            "that misses the next visited time, which is where a step ends here."
        )
    elif isinstance(spacing, Karras) and name != "linspace" and _is_open(spacing):
        yield (
            f"diffusers takes the ends of Karras' levels from the times of {name}; here they are "
            "those of the schedule."
        )
    elif isinstance(spacing, Linspace) and class_name in SIGMA_STATES:
        yield (
            "diffusers visits fractional times under linspace; here they are rounded, which is the "
            f"same where the steps minus 1 divide {settings['num_train_timesteps'] - 1}."
        )


def _is_open(spacing: Karras) -> bool:
    """Whether the schedule decides an end of the levels."""
    return spacing.sigma_min is None or spacing.sigma_max is None


def end_of(class_name: str, settings: Settings) -> End:
    """Where the run ends: without noise, or at the least trained level if no step starts there."""
    return (
        End.LAST if _keeps_noise(settings) and not _visits_last(class_name, settings) else End.ZERO
    )


def _keeps_noise(settings: Settings) -> bool:
    is_last = settings.get("final_sigmas_type") == "sigma_min"
    return bool(is_last or not settings.get("set_alpha_to_one", True))


def _visits_last(class_name: str, settings: Settings) -> bool:
    """Whether the last visited time is already the least trained one."""
    if settings.get("use_karras_sigmas"):
        return settings.get("sigma_min") is None
    name = settings["timestep_spacing"]
    if class_name == MULTISTEP or name == "trailing":
        return False
    return bool(name == "linspace" or settings["steps_offset"] == 0)

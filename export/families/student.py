"""Few-step students that nothing but their scheduler names, such as a folder with an LCM-LoRA.

Their guidance is in the network: a second branch on top of it burns the picture. Schedulers of LCM
and TCD are of no other networks. Those of Turbo and Lightning are any others' that begin at the
last time of a noise prediction, in few steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from denoisert.export.families.family import Material
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.families import DISTILLED
from denoisert.export.sources.diffusers.scheduler import FEW_STEPS, Sampling

NO_GUIDANCE: Final = 1.0


def scale_of(material: Material, scale: float) -> float:
    """The guidance scale of a pipeline's own call, or none where the scheduler is a student's.

    Args:
        material: its scheduler.
        scale: of the pipeline's own call.
    """
    scheduler = material.parts["scheduler"]
    is_student = scheduler.class_name in DISTILLED or _begins_last(scheduler)
    return NO_GUIDANCE if is_student else scale


def noted(material: Material, sampling: Sampling) -> Sampling:
    """The sampling in few steps, with a note where nothing but the scheduler asks for them.

    Args:
        material: its scheduler, and what its README says.
        sampling: what the scheduler was read as.
    """
    scheduler, readme = material.parts["scheduler"], material.readme
    if scheduler.class_name in DISTILLED:
        is_said = readme.guidance_scale is not None
        return sampling if is_said else _with(sampling, _distilled_note(scheduler.class_name))
    if not _begins_last(scheduler):
        return sampling
    few = replace(sampling, recommended=replace(sampling.recommended, steps=FEW_STEPS))
    is_said = readme.steps is not None and readme.guidance_scale is not None
    return few if is_said else _with(few, _TRAILING_NOTE)


def _begins_last(scheduler: Component) -> bool:
    """Whether a scheduler begins at the last time of a noise prediction, as those of Turbo do.

    Networks that predict v and begin there were trained to: their schedules end in pure noise.
    """
    config = scheduler.config
    is_noise = config.get("prediction_type", "epsilon") == "epsilon"
    return config.get("timestep_spacing") == "trailing" and is_noise


def _with(sampling: Sampling, note: str) -> Sampling:
    return replace(sampling, notes=(*sampling.notes, note))


def _distilled_note(class_name: str) -> str:
    return (
        f"{class_name} is the scheduler of few-step students: what README.md does not say is no "
        "guidance. Write guidance_scale into its front matter if the model wants some."
    )


_TRAILING_NOTE: Final = (
    "the scheduler's times are trailing, as those of few-step students (Turbo, Lightning) are: "
    f"what README.md does not say is {FEW_STEPS} steps and no guidance. Write guidance_scale and "
    "num_inference_steps into its front matter if the model wants others."
)

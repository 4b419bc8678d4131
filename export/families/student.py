"""Few-step students that nothing but their scheduler names, such as a folder with an LCM-LoRA.

Their guidance is in the network: a second branch on top of it burns the picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from denoisert.export.families.family import Material
from denoisert.export.sources.diffusers.families import DISTILLED
from denoisert.export.sources.diffusers.scheduler import Sampling

NO_GUIDANCE: Final = 1.0


def scale_of(material: Material, scale: float) -> float:
    """The guidance scale of a pipeline's own call, or none where the scheduler is a student's.

    Args:
        material: its scheduler.
        scale: of the pipeline's own call.
    """
    return NO_GUIDANCE if _is_student(material) else scale


def noted(material: Material, sampling: Sampling) -> Sampling:
    """The sampling, with a note where nothing but the scheduler says that there is no guidance."""
    if not _is_student(material) or material.readme.guidance_scale is not None:
        return sampling
    note = (
        f"{material.parts['scheduler'].class_name} is the scheduler of few-step students: what "
        "README.md does not say is no guidance. Write guidance_scale into its front matter if the "
        "model wants some."
    )
    return replace(sampling, notes=(*sampling.notes, note))


def _is_student(material: Material) -> bool:
    return material.parts["scheduler"].class_name in DISTILLED

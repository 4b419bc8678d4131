"""Settings of a scheduler that diffusers' pipelines replace when they are made.

Folders of 2022 say otherwise, or nothing; a pipeline of today runs them with these values.

Source: diffusers, the constructors of StableDiffusionPipeline, -Img2ImgPipeline, -InpaintPipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.defaults import DEFAULTS

PAINTING: Final[Mapping[str, Any]] = {"clip_sample": False, "steps_offset": 1}
"""Latents are not clipped, and the first time is not 0."""

REPAINTING: Final[Mapping[str, Any]] = {"skip_prk_steps": True, "steps_offset": 1}
"""The same of the pipeline for inpainting, which leaves the clipping as it is."""


def corrected(scheduler: Component, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A scheduler's configuration with other values for those settings that its class has.

    Args:
        scheduler: the component.
        values: setting -> value.
    """
    known = DEFAULTS.get(scheduler.class_name, {})
    own = {key: value for key, value in values.items() if key in known}
    return {**scheduler.config, **own}

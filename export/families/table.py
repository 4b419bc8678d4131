"""The closed table of families, and of the pipelines that each of them serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from denoisert.export.families.dit import DiT
from denoisert.export.families.family import Family
from denoisert.export.families.flux import Flux
from denoisert.export.families.latent_consistency import LatentConsistency
from denoisert.export.families.pixart import PixArt
from denoisert.export.families.pixel import PixelUNet
from denoisert.export.families.roster import Roster
from denoisert.export.families.stable_diffusion import StableDiffusion
from denoisert.export.families.stable_diffusion_3 import StableDiffusion3
from denoisert.export.families.stable_diffusion_xl import StableDiffusionXL

FAMILIES: Final[tuple[Family, ...]] = (
    DiT(),
    Flux(),
    LatentConsistency(),
    PixArt(),
    PixelUNet(),
    StableDiffusion(),
    StableDiffusion3(),
    StableDiffusionXL(),
)

PIPELINES: Final[Mapping[str, Roster]] = {
    name: roster for family in FAMILIES for name, roster in family.pipelines.items()
}
"""Pipeline -> its components; every pipeline has one family."""


def family_of(pipeline: str) -> Family:
    """The family that serves a pipeline.

    Args:
        pipeline: a key of `PIPELINES`.
    """
    return next(family for family in FAMILIES if pipeline in family.pipelines)

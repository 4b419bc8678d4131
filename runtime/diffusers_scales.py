"""The two guidance scales of diffusers' pipelines as what they mean here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from denoisert.runtime.sampling.guidance import CFG, EmbeddedGuidance, Guidance, Unguided

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card


def guidance_of(scale: float | None, second: float | None, card: Card) -> Guidance | None:
    """The guidance of a call.

    Args:
        scale: `guidance_scale`: that of the branches, or what a network is told that takes one.
        second: `true_cfg_scale`: that of the branches, whatever the network is told.
        card: says whether its network is told a scale, and which one is recommended.

    Returns:
        None where the card's own is meant.
    """
    if not card.network.guidance:
        return _branches(scale if second is None else second)
    if scale is None and second is None:
        return None
    advice = card.sampler.guidance
    advised = advice if isinstance(advice, EmbeddedGuidance) else EmbeddedGuidance()
    told = advised if scale is None else EmbeddedGuidance(float(scale))
    return told if second is None else replace(told, beside=_branches(second) or Unguided())


def _branches(scale: float | None) -> Guidance | None:
    """As diffusers has it, 1 and less means none."""
    if scale is None:
        return None
    return Unguided() if scale <= 1 else CFG(scale)

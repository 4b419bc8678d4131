"""Guidance: which branches a stage evaluates and how they combine."""

from denoisert.runtime.sampling.guidance.branches import Branches, Guidance, Unguided
from denoisert.runtime.sampling.guidance.cfg import CFG
from denoisert.runtime.sampling.guidance.embedded import EmbeddedGuidance

__all__ = ["CFG", "Branches", "EmbeddedGuidance", "Guidance", "Unguided"]

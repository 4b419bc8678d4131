"""Noise as a function: Philox4x32-10 words, normals and uniforms of any piece of a flat latent."""

from denoisert.kernels.philox import cpu, reference
from denoisert.kernels.philox.reference import CODEC, CONDITION, LATENT, UNIFORM

__all__ = ["CODEC", "CONDITION", "LATENT", "UNIFORM", "cpu", "reference"]

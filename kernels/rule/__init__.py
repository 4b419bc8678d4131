"""Guidance rules: weights of a few vectors, computed from their products and sums alone."""

from denoisert.kernels.rule import cpu, reference
from denoisert.kernels.rule.cpu import PER_CHANNEL, RULES, VECTORS

__all__ = ["PER_CHANNEL", "RULES", "VECTORS", "cpu", "reference"]

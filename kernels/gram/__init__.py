"""Products of all pairs of a few vectors, and their sums: what guidance rules are computed from."""

from denoisert.kernels.gram import cpu, reference

__all__ = ["cpu", "reference"]

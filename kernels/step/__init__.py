"""One tick's update: guidance, solver row, operations and taps of a slot in one pass."""

from denoisert.kernels.step import cpu, reference

__all__ = ["cpu", "reference"]

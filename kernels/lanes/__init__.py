"""Gathering the rows of slots into the lanes of an engine's batch."""

from denoisert.kernels.lanes import cpu, reference

__all__ = ["cpu", "reference"]

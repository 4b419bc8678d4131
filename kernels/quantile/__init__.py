"""The exact quantile of absolute values, the threshold of dynamic thresholding."""

from denoisert.kernels.quantile import cpu, reference

__all__ = ["cpu", "reference"]

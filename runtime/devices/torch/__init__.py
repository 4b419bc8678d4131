"""The torch device: a pool in tensors, updated by Triton kernels, on CUDA or in the interpreter."""

from denoisert.runtime.devices.torch.device import TorchDevice

__all__ = ["TorchDevice"]

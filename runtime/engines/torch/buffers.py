"""Buffers of a bound call: torch tensors in place, NumPy arrays in place or through a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.dtypes import NAMES, name_of
from denoisert.runtime.errors import OutOfProfile

Action = Callable[[], object]
AnyBuffer = Tensor | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Buffers:
    """The buffers of one call on the engine's device.

    Args:
        tensors: port name -> tensor on the device.
        fetch: copies from the host, before a run.
        store: copies to the host, after a run; the last one waits for the device.
    """

    tensors: Mapping[str, Tensor]
    fetch: tuple[Action, ...]
    store: tuple[Action, ...]

    @property
    def is_on_gpu(self) -> bool:
        """Whether nothing has to be copied from or to a host."""
        is_cuda = all(tensor.is_cuda for tensor in self.tensors.values())
        return is_cuda and not (self.fetch or self.store)


def place_buffers(
    inputs: Iterable[Port],
    outputs: Iterable[Port],
    bucket: int,
    buffers: Mapping[str, AnyBuffer],
    device: torch.device,
) -> Buffers:
    """Check buffers and bring them to a device.

    Args:
        inputs: ports that are read.
        outputs: ports that are written.
        bucket: number of lanes.
        buffers: port name -> tensor on the device, or array on the host.
        device: the engine's.

    Raises:
        OutOfProfile: a buffer is missing, or has another shape, dtype, device or layout.
    """
    tensors: dict[str, Tensor] = {}
    fetch: list[Action] = []
    store: list[Action] = []
    for ports, copies in ((inputs, fetch), (outputs, store)):
        for port in ports:
            host = _checked(port, bucket, buffers, device)
            placed = host.to(device)
            tensors[port.name] = placed
            if placed is not host:
                pair = (placed, host) if copies is fetch else (host, placed)
                copies.append(partial(pair[0].copy_, pair[1]))
    return Buffers(tensors, tuple(fetch), tuple(store))


def _checked(
    port: Port, bucket: int, buffers: Mapping[str, AnyBuffer], device: torch.device
) -> Tensor:
    """The buffer as a tensor where it is now."""
    shape, buffer = port.shape(bucket), buffers.get(port.name)
    if buffer is None:
        raise OutOfProfile(f"no buffer for {port.name}, {port.dtype} {shape}; have {[*buffers]}.")
    dtype = name_of(buffer.dtype) if isinstance(buffer, Tensor) else buffer.dtype.name
    if tuple(buffer.shape) != shape or dtype != port.dtype:
        raise OutOfProfile(
            f"{port.name} takes {port.dtype} {shape}, the buffer is {dtype} {tuple(buffer.shape)}."
        )
    if isinstance(buffer, Tensor):
        return _check_tensor(port, buffer, device)
    if not buffer.flags.c_contiguous or not buffer.flags.writeable:
        raise OutOfProfile(f"the buffer of {port.name} is not contiguous, or is read-only.")
    if dtype == "bfloat16":
        return torch.from_numpy(buffer.view(np.int16)).view(NAMES[dtype])
    return torch.from_numpy(buffer)


def _check_tensor(port: Port, buffer: Tensor, device: torch.device) -> Tensor:
    if buffer.device != device:
        raise OutOfProfile(
            f"the buffer of {port.name} is on {buffer.device}, the engine on {device}. Make it on "
            "the engine's device."
        )
    if not buffer.is_contiguous():
        raise OutOfProfile(f"the buffer of {port.name} is not contiguous.")
    return buffer.detach()

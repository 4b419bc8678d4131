"""One call of an engine: a context with its profile, shapes, addresses and scratch memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from denoisert.runtime.engines.tensorrt.interface import JustInTimeContext
from denoisert.runtime.engines.tensorrt.opened import Opened
from denoisert.runtime.engines.torch.bound import reported
from denoisert.runtime.engines.torch.buffers import Buffers
from denoisert.runtime.errors import EngineError, OutOfProfile


@dataclass(frozen=True, slots=True)
class Call:
    """What a context is bound to; alive as long as its addresses are used.

    Args:
        profile: number of the profile.
        inputs: names of the inputs.
        buffers: what is read and written on the device, and how it comes from and goes to a host.
        scratch: memory on the device that the context computes in, aligned to 256 bytes.
    """

    profile: int
    inputs: tuple[str, ...]
    buffers: Buffers
    scratch: Tensor


class TensorRtBound:
    """One call of an engine on fixed buffers.

    Args:
        opened: the engine, its device and its log.
        context: new.
        call: what it is bound to.

    Raises:
        EngineError: the library refuses the call; the message carries its log.
    """

    def __init__(self, opened: Opened, context: JustInTimeContext, call: Call) -> None:
        self._opened, self._context, self._call = opened, context, call
        stream = stream_of(None, opened.device)
        ready(opened, context, call, stream.cuda_stream)
        stream.synchronize()  # a profile may copy there, and the call may run on another stream
        self.is_capturable = call.buffers.is_on_gpu
        if self.is_capturable and opened.binding.is_just_in_time:
            self.is_capturable = context.is_stream_capturable(stream.cuda_stream)

    def run(self, stream: object | None = None) -> None:
        """Read the input buffers, write the output buffers.

        Buffers on the device are neither waited for nor synchronised; host buffers are complete
        when the call returns.

        Args:
            stream: a torch.cuda.Stream; None for the current one.

        Raises:
            OutOfProfile: `stream` is something else.
            OutOfMemory: torch's allocator has no more.
            EngineError: the library failed; the message carries its log.
        """
        used, buffers = stream_of(stream, self._opened.device), self._call.buffers
        with reported("running"), torch.cuda.stream(used):  # its device becomes the current one
            for action in buffers.fetch:
                action()
            self._launch(used)
            for action in buffers.store:
                action()

    def _launch(self, stream: torch.cuda.Stream) -> None:
        if not self._context.execute_async_v3(stream.cuda_stream):
            opened = self._opened
            raise EngineError(f"{opened.binding.title} failed while running: {opened.log.text()}.")


def stream_of(stream: object | None, device: torch.device) -> torch.cuda.Stream:
    """The stream that a call runs on.

    Args:
        stream: a torch.cuda.Stream; None for the device's current one.
        device: of the engine.

    Raises:
        OutOfProfile: `stream` is something else.
    """
    if stream is None:
        return torch.cuda.current_stream(device)
    if not isinstance(stream, torch.cuda.Stream):
        raise OutOfProfile(f"{stream!r} is no torch.cuda.Stream; give one or None.")
    return stream


def ready(opened: Opened, context: JustInTimeContext, call: Call, stream: int) -> None:
    """Give a context its profile, shapes, memory and addresses, in this order.

    Args:
        opened: the engine, for messages.
        context: new.
        call: what it is bound to.
        stream: handle of one that nothing of the call runs before.

    Raises:
        EngineError: the library refuses one of them; the message carries its log.
    """
    _accepted(opened, context.set_optimization_profile_async(call.profile, stream), "its profile")
    tensors = call.buffers.tensors
    for name in call.inputs:
        shape = tuple(tensors[name].shape)
        _accepted(opened, context.set_input_shape(name, shape), f"{name} of shape {shape}")
    context.set_device_memory(call.scratch.data_ptr(), call.scratch.numel())
    for name, tensor in tensors.items():
        is_taken = context.set_tensor_address(name, tensor.data_ptr())
        _accepted(opened, is_taken, f"the buffer of {name}")
    try:
        lacking = context.infer_shapes()
    except RuntimeError as error:
        raise EngineError(
            f"{opened.binding.title} refuses these shapes: {error} {opened.log.text()}."
        ) from error
    _accepted(opened, not lacking, f"the call without shapes of {', '.join(lacking)}")


def _accepted(opened: Opened, answer: bool, what: str) -> None:
    """The library's calls answer False and log."""
    if not answer:
        raise EngineError(f"{opened.binding.title} refuses {what}: {opened.log.text()}.")

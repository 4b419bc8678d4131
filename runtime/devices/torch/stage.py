"""One device's stream, and what crosses between it and the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoisert.runtime.errors import DenoiseRTError, DeviceLost, EngineError, OutOfMemory
from denoisert.runtime.measure.nvtx import NoRanges, ranges

Array = NDArray[Any]


class Reading:
    """A copy to the host that is under way.

    Args:
        values: on the host; valid once the event has passed.
        event: behind the copy, None where it is complete already.
    """

    def __init__(self, values: Tensor, event: torch.cuda.Event | None) -> None:
        self._values = values
        self._event = event

    def wait(self) -> Array:
        """The values, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        found: Array = self._values.numpy()
        return found


class Stage:
    """A stream of a device; everything that one pool does there is ordered by it.

    Args:
        device: "cpu", where kernels are interpreted, or a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.is_cuda = device.type == "cuda"
        self.stream = _stream(device) if self.is_cuda else None
        self.ranges = ranges() if self.is_cuda else NoRanges()

    def active(self) -> AbstractContextManager[object]:
        """Everything inside runs on the stream."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """New memory on the device."""
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def upload(self, values: Array) -> Tensor:
        """A copy on the device, complete when the stream comes to it; the host does not wait."""
        # Copied at once: torch takes no array that is read-only, and its owner may change it.
        source = torch.from_numpy(np.array(values, order="C"))
        if not self.is_cuda:
            return source
        return source.pin_memory().to(self.device, non_blocking=True)

    def read(self, values: Tensor) -> Reading:
        """Begin to copy to the host."""
        if not self.is_cuda:
            return Reading(values.clone(), None)
        target = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        target.copy_(values, non_blocking=True)
        event = _event()
        event.record(self.stream)
        return Reading(target, event)

    def download(self, values: Tensor) -> Array:
        """A copy on the host; waits for the stream."""
        return self.read(values).wait().copy()

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Errors of the device as ours, on its stream.

        Args:
            what: is done here, for the message.

        Raises:
            OutOfMemory: the device has no room.
            DeviceLost: it fails whatever is asked of it from now on.
            EngineError: it failed this time.
        """
        try:
            with self.active():
                yield
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{what} found no memory on {self.device} ({error}). Open the runtime with fewer "
                "slots, or give the device to fewer processes."
            ) from error
        except RuntimeError as error:
            if isinstance(error, DenoiseRTError):
                raise
            raise self._failure(what, error) from error

    def _failure(self, what: str, error: RuntimeError) -> EngineError:
        try:
            if self.stream is not None:
                self.stream.synchronize()  # of the whole device it would fail beside a capture
        except RuntimeError as again:
            return DeviceLost(
                f"{what} failed on {self.device}, and so does everything after it: {again}. The "
                "CUDA context of this process is lost; start a new process."
            )
        return EngineError(f"{what} failed on {self.device}: {error}")


# torch types these two constructors only from 2.12 on.
_stream: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream
_event: Callable[[], torch.cuda.Event] = torch.cuda.Event

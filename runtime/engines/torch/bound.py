"""A program on fixed buffers: a flat list of calls that are ready to go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.buffers import Action, Buffers
from denoisert.runtime.engines.torch.operators.call import Call, Kind, Operand
from denoisert.runtime.engines.torch.plan import Plan
from denoisert.runtime.engines.torch.program import Step
from denoisert.runtime.errors import EngineError, OutOfMemory, OutOfProfile

Slots = dict[str, Tensor]
# What a torch call raises when it runs: an index beyond its table is an IndexError on a CPU.
FAILURES = (RuntimeError, IndexError)


@contextmanager
def reported(doing: str) -> Iterator[None]:
    """What torch raises inside, as errors of ours.

    Raises:
        OutOfMemory: torch's allocator has no more.
        EngineError: a torch call failed; the message carries its own.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"torch ran out of memory while {doing}: {error} Use fewer lanes or a half type."
        ) from error
    except EngineError:
        raise
    except FAILURES as error:
        raise EngineError(f"torch failed while {doing}: {error}") from error


class LateCall:
    """A call with inputs that do not exist before it runs, or with a result from torch's allocator.

    Args:
        function: the torch call.
        arguments: positional; operands stand for the names' tensors.
        names: operand number -> where to find it while running.
        slots: tensors that exist for a while.
        results: names of the results; none where the call writes into a buffer.
        releases: names that nothing reads after it.
    """

    __slots__ = ("_arguments", "_function", "_names", "_releases", "_results", "_slots")

    def __init__(
        self,
        function: Callable[..., object],
        arguments: Sequence[object],
        names: Mapping[int, str],
        slots: Slots,
        *,
        results: tuple[str, ...] = (),
        releases: tuple[str, ...] = (),
    ) -> None:
        self._function: Callable[..., Any] = function
        self._arguments = tuple(arguments)
        self._names = tuple(names.items())
        self._slots = slots
        self._results = results
        self._releases = releases

    def __call__(self) -> None:
        """Fetch the inputs, call, keep the results, drop what is no longer read."""
        slots, arguments = self._slots, list(self._arguments)
        for place, name in self._names:
            arguments[place] = slots[name]
        found = self._function(*arguments)
        if self._results:
            tensors = (found,) if isinstance(found, Tensor) else found
            slots.update(zip(self._results, tensors, strict=False))
        for name in self._releases:
            slots.pop(name, None)


class Binder:
    """Makes the calls of one plan on one set of buffers.

    Args:
        plan: where values lie.
        tensors: inputs and constants on the device, by value name.
        outputs: buffers on the device, by port name.
        arena: bytes on the device, as many as the plan says.
    """

    def __init__(
        self,
        plan: Plan,
        tensors: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        arena: Tensor,
    ) -> None:
        self._plan = plan
        self._tensors = dict(tensors)
        self._outputs = outputs
        self._arena = arena
        self._slots: Slots = {}

    def actions(self) -> tuple[Action, ...]:
        """The calls in order."""
        found: list[Action] = []
        with torch.no_grad():
            for step, releases in zip(self._plan.program.steps, self._plan.releases, strict=True):
                if step.call.kind is Kind.VIEW and step.inputs[0] in self._tensors:
                    self._show(step)
                else:
                    found.append(self._action(step, releases))
        return (*found, *self._copies())

    def _show(self, step: Step) -> None:
        """A view of memory that is there already is made once."""
        given = tuple(self._tensors[name] if name else None for name in step.inputs)
        results = step.call.run(given)
        views = (results,) if isinstance(results, Tensor) else results
        self._tensors.update(zip(step.outputs, views, strict=False))

    def _action(self, step: Step, releases: tuple[str, ...]) -> Action:
        call, name = step.call, step.outputs[0]
        if name in self._plan.late or call.writer is None:
            function = partial(call.function, **call.keywords)
            return self._late(function, step, releases, step.outputs)
        out = self._place(name, step.specimens[0])
        self._tensors[name] = out
        function = partial(call.writer, **call.keywords, out=out)
        if any(given not in self._tensors for given in self._read(call, step.inputs)):
            return self._late(function, step, releases, ())
        return partial(function, *(self._argument(item, step.inputs) for item in call.arguments))

    def _late(
        self,
        function: Callable[..., object],
        step: Step,
        releases: tuple[str, ...],
        results: tuple[str, ...],
    ) -> LateCall:
        arguments = [self._argument(item, step.inputs) for item in step.call.arguments]
        releases = (*releases, "") if "" in results else releases
        names = {
            place: step.inputs[item.index]
            for place, item in enumerate(arguments)
            if isinstance(item, Operand)
        }
        return LateCall(function, arguments, names, self._slots, results=results, releases=releases)

    def _argument(self, item: object, inputs: tuple[str, ...]) -> object:
        """A tensor that is there already, or the item itself."""
        return self._tensors.get(inputs[item.index], item) if isinstance(item, Operand) else item

    @staticmethod
    def _read(call: Call, inputs: tuple[str, ...]) -> list[str]:
        return [inputs[item.index] for item in call.arguments if isinstance(item, Operand)]

    def _place(self, name: str, specimen: Tensor) -> Tensor:
        port = self._plan.direct.get(name)
        if port is not None:
            return self._outputs[port]
        start = self._plan.offsets[name]
        nbytes = specimen.numel() * specimen.element_size()
        return self._arena[start : start + nbytes].view(specimen.dtype).view(specimen.shape)

    def _copies(self) -> list[Action]:
        """Outputs that could not be written where they belong."""
        found: list[Action] = []
        for port, name in self._plan.program.outputs.items():
            if self._plan.direct.get(name) == port:
                continue
            copy = self._outputs[port].copy_
            known = self._tensors.get(name)
            if known is not None:
                found.append(partial(copy, known))
            else:
                found.append(LateCall(copy, (Operand(0),), {0: name}, self._slots))
        return [*found, self._slots.clear]


class TorchBound:
    """One call of a program on fixed buffers.

    Args:
        actions: calls in order.
        device: where they run.
        buffers: what they read and write there, and how it comes from and goes to a host.
    """

    def __init__(self, actions: tuple[Action, ...], device: torch.device, buffers: Buffers) -> None:
        self._actions = (*buffers.fetch, *actions, *buffers.store)
        self._device = device
        self.is_capturable = buffers.is_on_gpu

    def run(self, stream: object | None = None) -> None:
        """Read the input buffers, write the output buffers.

        Buffers on the device are neither waited for nor synchronised; host buffers of a CUDA engine
        are complete when the call returns.

        Args:
            stream: a torch.cuda.Stream; None for the current one. A CPU has no stream.

        Raises:
            OutOfProfile: `stream` is something else.
            OutOfMemory: torch's allocator has no more.
            EngineError: a torch call failed; the message carries its own.
        """
        with reported("running"), torch.no_grad(), _on(stream, self._device):
            for action in self._actions:
                action()


def _on(stream: object | None, device: torch.device) -> AbstractContextManager[object]:
    if stream is None or device.type != "cuda":
        return nullcontext()
    if not isinstance(stream, torch.cuda.Stream):
        raise OutOfProfile(f"{stream!r} is no torch.cuda.Stream; give one or None.")
    return torch.cuda.stream(stream)

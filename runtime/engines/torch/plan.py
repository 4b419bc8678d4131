"""Where every value of a program lies while it runs.

A value is *planned* where torch can write it into given memory: in the arena, or in the buffer of
the output that it is. A view of such a value costs nothing. A convolution, an attention or a
normalisation has no such form in torch; its result is *late*, taken from torch's allocator and
dropped at its last use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from denoisert.runtime.engines.torch.arena import Span, place
from denoisert.runtime.engines.torch.operators.call import Kind
from denoisert.runtime.engines.torch.program import Program, Step


@dataclass(frozen=True, slots=True)
class Plan:
    """Places of a program's values.

    Args:
        program: what runs.
        offsets: value name -> first byte in the arena.
        direct: value name -> the output port in whose buffer it is written.
        late: values that torch's allocator serves.
        releases: for each step the late values that nothing reads after it.
        arena_bytes: size of the arena.
        planned_bytes: all results together that have a planned place.
        late_bytes: all results together that torch's allocator serves.
    """

    program: Program
    offsets: Mapping[str, int]
    direct: Mapping[str, str]
    late: frozenset[str]
    releases: tuple[tuple[str, ...], ...]
    arena_bytes: int
    planned_bytes: int
    late_bytes: int


def plan(program: Program) -> Plan:
    """Place a program's values."""
    return _Planner(program).plan()


class _Planner:
    """Walks a program once for each question."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._specimens: dict[str, Tensor] = dict(program.inputs)
        self._roots: dict[str, str] = {}  # view -> the value whose memory it shows
        self._owned: dict[str, int] = {}  # planned value -> the step that writes it
        self._late: set[str] = set()
        self._last: dict[str, int] = {}  # memory's owner, or late value -> last step that reads it

    def plan(self) -> Plan:
        for number, step in enumerate(self._program.steps):
            self._sort(number, step)
        self._find_last_uses()
        direct = self._direct()
        homes = self._homes(direct)
        offsets, nbytes = place(self._spans(homes))
        placed = {name: offsets[home] for name, home in homes.items()}
        late = frozenset(self._late)
        return Plan(
            self._program,
            MappingProxyType(placed),
            MappingProxyType(direct),
            late,
            self._releases(),
            nbytes,
            sum(_nbytes(self._specimens[name]) for name in self._owned),
            sum(_nbytes(self._specimens[name]) for name in late - self._roots.keys()),
        )

    def _sort(self, number: int, step: Step) -> None:
        """Whether the step's results are views, planned or late."""
        named = {n: x for n, x in zip(step.outputs, step.specimens, strict=False) if n}
        self._specimens.update(named)
        is_view = step.call.kind is Kind.VIEW
        if is_view:
            self._roots.update(dict.fromkeys(named, self._root(step.inputs[0])))
        if is_view and step.inputs[0] not in self._late:
            return
        if step.call.writer is not None and not is_view:
            self._owned.update(dict.fromkeys(named, number))
        else:
            self._late.update(named)

    def _root(self, name: str) -> str:
        return self._roots.get(name, name)

    def _find_last_uses(self) -> None:
        for number, step in enumerate(self._program.steps):
            for name in (*step.outputs, *step.inputs):
                self._use(name, number)
        for name in self._program.outputs.values():
            self._use(name, len(self._program.steps))

    def _use(self, name: str, number: int) -> None:
        self._last[self._root(name)] = self._last[name] = number

    def _direct(self) -> dict[str, str]:
        direct: dict[str, str] = {}
        for port, name in self._program.outputs.items():
            if name in self._owned:
                direct.setdefault(name, port)
        return direct

    def _homes(self, direct: Mapping[str, str]) -> dict[str, str]:
        """Planned value -> the value whose place in the arena it takes, often its own."""
        homes: dict[str, str] = {}
        for name, number in self._owned.items():
            if name in direct:
                continue
            home = self._overwritten(self._program.steps[number], number, homes)
            homes[name] = home or name
        return homes

    def _overwritten(self, step: Step, number: int, homes: Mapping[str, str]) -> str | None:
        """The place of an input that ends here and that the result may be written over."""
        if step.call.kind is not Kind.POINTWISE:
            return None
        result = step.specimens[0]
        for name in dict.fromkeys(step.inputs):
            root = self._root(name)
            if root not in homes or self._last[root] != number:
                continue
            if _is_same(result, self._specimens[name]) and self._is_alone(step, name):
                return homes[root] if _covers(result, self._specimens[root]) else None
        return None

    def _is_alone(self, step: Step, name: str) -> bool:
        """Whether nothing else that the step reads shows the same memory in another way."""
        root = self._root(name)
        others = (n for n in step.inputs if n and n != name and self._root(n) == root)
        return not any(others)

    def _spans(self, homes: Mapping[str, str]) -> dict[str, Span]:
        """The time from a place's first value to the last use of its last one."""
        spans: dict[str, Span] = {}
        for name, home in homes.items():
            known = spans.get(home)
            first = known.first if known else self._owned[name]
            last = max(self._last[name], known.last if known else 0)
            spans[home] = Span(_nbytes(self._specimens[home]), first, last)
        return spans

    def _releases(self) -> tuple[tuple[str, ...], ...]:
        ends: list[list[str]] = [[] for _ in self._program.steps]
        for name in self._late:
            if self._last[name] < len(ends):
                ends[self._last[name]].append(name)
        return tuple(tuple(sorted(names)) for names in ends)


def _nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _is_same(result: Tensor, given: Tensor) -> bool:
    return given.shape == result.shape and given.dtype == result.dtype and given.is_contiguous()


def _covers(result: Tensor, root: Tensor) -> bool:
    return _nbytes(result) == _nbytes(root)

"""The engine calls of a lane map, each bound once per place and bucket."""

from __future__ import annotations

from collections.abc import Sequence

from denoisert.runtime.devices.device import Memory
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound
from denoisert.runtime.loop.lanes import Call, Lane, LaneMap, calls, calls_by_time
from denoisert.runtime.loop.slot import Slot


class LaneCalls:
    """Calls of a pool's engines on its lane buffers.

    Args:
        denoisers: the engines.
        memory: whose buffers they are bound to.
    """

    def __init__(self, denoisers: Sequence[Denoiser], memory: Memory) -> None:
        self.lanes = 0
        self.padding = 0
        self.map = LaneMap(((),) * len(denoisers))
        self._denoisers = tuple(denoisers)
        self._memory = memory
        self._space = memory.form, memory.lanes
        self._has_scalar_time = any(denoiser.has_scalar_time for denoiser in denoisers)
        self._slots: dict[int, Slot] = {}
        self._calls: list[Bound] = []
        self._bound: dict[tuple[int, Call], Bound] = {}

    def lay(self, slots: Sequence[Slot]) -> list[Bound]:
        """Take a new lane map.

        Args:
            slots: those that run, each with what it asks next.

        Returns:
            The calls of the next tick.
        """
        space = self._memory.form, self._memory.lanes
        if space != self._space:
            self.forget()  # the memory has grown, and every buffer has moved
            self._space = space
        self._slots = {slot.index: slot for slot in slots}
        self.map = LaneMap.of(slots, len(self._denoisers))
        self._memory.map_lanes(self.map, slots)
        self._bind()
        return self._calls

    def again(self) -> list[Bound]:
        """The calls of the next tick on the map of the last one."""
        if self._has_scalar_time:
            self._bind()
        return self._calls

    def every(self, slots: int) -> list[list[Bound]]:
        """The calls of every number of lanes that some slots can fill, most lanes first.

        Args:
            slots: of the pool.
        """
        rounds = []
        for engine, denoiser in enumerate(self._denoisers):
            most = slots * self._memory.lanes
            for lanes in range(most, 0, -1):
                covered = calls(lanes, denoiser.engine.buckets)
                rounds.append([self._bound_call(engine, call) for call in covered])
        return rounds

    def forget(self) -> None:
        """Drop every bound call: its buffers have moved, or the engines are to be closed."""
        self._calls = []
        self._bound.clear()

    def _bind(self) -> None:
        self._calls = []
        self.lanes = self.padding = 0
        for engine, denoiser in enumerate(self._denoisers):
            for call in self._cover(self.map.lanes[engine], denoiser):
                self.lanes += call.lanes
                self.padding += call.bucket - call.lanes
                self._calls.append(self._bound_call(engine, call))

    def _bound_call(self, engine: int, call: Call) -> Bound:
        bound = self._bound.get((engine, call))
        if bound is None:
            bound = self._memory.bind(engine, call.first, call.bucket)
            self._bound[engine, call] = bound
        return bound

    def _cover(self, lanes: Sequence[Lane], denoiser: Denoiser) -> list[Call]:
        if not denoiser.has_scalar_time:
            return calls(len(lanes), denoiser.engine.buckets)
        return calls_by_time([self._time(lane) for lane in lanes], denoiser.engine.buckets)

    def _time(self, lane: Lane) -> float:
        slot = self._slots[lane.slot]
        return float(slot.work.table.model_time[slot.counter, lane.ask.column])

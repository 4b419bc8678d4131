"""One round of a pool: lanes, engines, update."""

from __future__ import annotations

from time import perf_counter_ns
from typing import NamedTuple

from denoisert.runtime.errors import CaptureError, DeviceLost, EngineError, OutOfMemory
from denoisert.runtime.loop.pool import Pool


class TickTime(NamedTuple):
    """Where one tick spent its time, in nanoseconds, and how many slots it served."""

    start: int
    engine_start: int
    engine_end: int
    end: int
    slots: int


def tick(pool: Pool) -> TickTime:
    """Run one network evaluation and one update of every active slot.

    Args:
        pool: changed in place; finished works appear in its outcomes.

    Returns:
        The tick's times.

    Raises:
        DeviceLost: the device answers nothing any more.
    """
    start = perf_counter_ns()
    pool.admit()
    slots = len(pool.active)
    engine_start = perf_counter_ns()
    try:
        bound = pool.prepare()
        engine_start = perf_counter_ns()
        update = pool.memory.tick(bound, pool.active)
    except DeviceLost:
        raise  # nobody behind these works fares better: the thread ends, and with it every ticket
    except (EngineError, CaptureError, OutOfMemory) as error:
        pool.fail(error)
        now = perf_counter_ns()
        return TickTime(start, engine_start, now, now, slots)
    pool.advance(update.failed)
    return TickTime(start, engine_start, update.engine_end, perf_counter_ns(), slots)

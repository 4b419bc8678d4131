"""The pools of one loop, one for each layout that requests have asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from denoisert.runtime.devices.device import Device
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.resident import Resident, memory_counts
from denoisert.runtime.errors import OutOfMemory
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.pool import Pool


class Pools:
    """Pools on one engine that take turns; works have numbers that differ in all of them.

    Attributes:
        first: the pool of requests without a size, which is always there.
        are_several: whether there is another one.

    Args:
        denoisers: one for each layout.
        device: where they live.
        slots: capacity of each.
        residents: the engines behind the denoisers, where they come into memory later.
    """

    def __init__(
        self,
        denoisers: Sequence[Denoiser],
        device: Device,
        *,
        slots: int,
        residents: Sequence[Resident] = (),
    ) -> None:
        self._denoisers = {denoiser.layout: denoiser for denoiser in denoisers}
        self._device = device
        self._slots = slots
        self._residents = tuple(residents)
        self._numbers = count()
        self._made: dict[StateLayout, Pool] = {}
        self.are_several = False
        self.first = self.of(denoisers[0].layout)

    @property
    def made(self) -> tuple[Pool, ...]:
        """Those that exist, in the order in which they were made."""
        return tuple(self._made.values())

    def of(self, layout: StateLayout) -> Pool:
        """The pool of a layout, made where there is none yet.

        Raises:
            OutOfMemory: there is no memory for it.
        """
        known = self._made.get(layout)
        if known is not None:
            return known
        try:
            pool = Pool(
                layout,
                [self._denoisers[layout]],
                self._device,
                slots=self._slots,
                numbers=self._numbers,
            )
        except MemoryError as error:
            shapes = ", ".join(str(part.shape) for part in layout.parts)
            raise OutOfMemory(
                f"states of shape {shapes} found no memory for their pool ({error}). Other sizes "
                "are not affected. Open the runtime with fewer slots."
            ) from error
        self._made[layout] = pool
        self.are_several = len(self._made) > 1  # kept, for a loop asks at every tick
        return pool

    def load(self) -> None:
        """See to it that the engine is in memory, before a work needs it.

        Raises:
            BuildError: it cannot be loaded.
            Tampered: a file differs from the manifest.
        """
        for resident in self._residents:
            resident.engine()

    def after(self, pool: Pool) -> Pool:
        """The next pool in turn that has something to do, or this one.

        Args:
            pool: whose turn it was.
        """
        made = self.made
        place = made.index(pool)
        turns = (*made[place + 1 :], *made[: place + 1])
        return next((each for each in turns if not each.is_idle), pool)

    def warm(self) -> None:
        """Make the pools of all layouts and run what their ticks run.

        Raises:
            EngineError: an engine or the device failed.
            OutOfMemory: there is no memory for one of them.
        """
        for layout in self._denoisers:
            self.of(layout).warm()

    def title(self, pool: Pool) -> str:
        """What traces call a pool: nothing for the first, the shape of its state for others."""
        if pool is self.first:
            return ""
        return f" {'x'.join(str(size) for size in pool.layout.parts[0].shape[1:])}"

    def stats(self) -> dict[str, float]:
        """Counts of all pools together, by the names of `Runtime.stats`."""
        found: dict[str, float] = {"parked": 0, **memory_counts(self._residents)}
        for pool in self.made:  # a copy: other threads ask while the loop makes one
            for name, number in {**pool.memory.counts(), "parked": pool.parked}.items():
                found[name] = found.get(name, 0) + number
        return found

    def close(self) -> None:
        """Forget all pools and close the engine."""
        for pool in self._made.values():
            pool.close()
        for denoiser in self._denoisers.values():
            denoiser.engine.close()

"""How many bytes the open requests of a runtime may hold; guarded by its owner's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from denoisert.runtime.errors import OutOfMemory
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.threads.job import Job


class Budget:
    """Memory of pools and open requests against a bound.

    Pools count once per device and layout, each at the largest plan that was let in so far, since
    they grow and never shrink. What the engines keep for themselves is not known here and not
    counted.

    Args:
        bound: bytes, None without bound.
        devices: pools of a layout in the runtime.
        fixed: bytes that are always held, such as the cache of prompts.
    """

    def __init__(self, bound: int | None, devices: int, fixed: int = 0) -> None:
        self._bound = bound
        self._devices = devices
        self._fixed = fixed
        self._pools: dict[StateLayout, int] = {}
        self.used = 0

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse what would not fit even alone, beside the pools of other sizes.

        Args:
            jobs: of one caller; the pools of all of them are there in the end.

        Raises:
            OutOfMemory: says what is needed.
        """
        pools = dict(self._pools)
        for job in jobs:
            layout = job.planned.layout
            pools[layout] = max(pools.get(layout, 0), job.planned.pool_bytes)
        for job in jobs:
            others = sum(pools.values()) - pools[job.planned.layout]
            needed = self._held(others + job.planned.pool_bytes) + job.nbytes
            if self._bound is not None and needed > self._bound:
                raise OutOfMemory(
                    f"the request needs {needed} bytes{self._beside(others)}, the runtime may use "
                    f"{self._bound}. Ask for fewer pictures, or open it with more memory_bytes or "
                    "fewer slots or devices."
                )

    def reserve(self, pools: Mapping[StateLayout, int]) -> None:
        """Count pools that are made ahead of any request.

        Args:
            pools: bytes of each.

        Raises:
            OutOfMemory: together they are more than the bound.
        """
        wanted = {layout: max(self._pools.get(layout, 0), pools[layout]) for layout in pools}
        needed = self._held(sum({**self._pools, **wanted}.values()))
        if self._bound is not None and needed > self._bound:
            raise OutOfMemory(
                f"the pools of all {len(pools)} sizes need {needed} bytes, the runtime may use "
                f"{self._bound}. Let the first request of each size make its pool, or open it with "
                "more memory_bytes or fewer slots or devices."
            )
        self._pools |= wanted

    def fits(self, job: Job) -> bool:
        """Whether a request fits beside the open ones; alone it always does, once checked."""
        needed = self._held(sum(self._with(job).values())) + self.used + job.nbytes
        return self._bound is None or needed <= self._bound or not self.used

    def take(self, job: Job) -> bool:
        """Count a request, if it fits.

        Returns:
            Whether it does.

        Raises:
            OutOfMemory: it is alone and does not, since pools of other sizes have been made.
        """
        if not self.fits(job):
            return False
        self.check([job])
        self._pools = self._with(job)
        self.used += job.nbytes
        return True

    def give(self, job: Job) -> None:
        """A request has ended."""
        self.used -= job.nbytes

    def _with(self, job: Job) -> dict[StateLayout, int]:
        """The pools after a request is let in."""
        layout = job.planned.layout
        return {
            **self._pools,
            layout: max(self._pools.get(layout, 0), job.planned.pool_bytes),
        }

    def _held(self, pools: int) -> int:
        """What is held for good on all devices, given the bytes of one device's pools."""
        return self._fixed + self._devices * pools

    def _beside(self, others: int) -> str:
        held = self._devices * others
        return f" with the {held} of the pools of other sizes" if others else ""

"""How many bytes the open requests of a runtime may hold; guarded by its owner's lock."""

from __future__ import annotations

from denoisert.runtime.errors import OutOfMemory
from denoisert.runtime.threads.job import Job


class Budget:
    """Memory of pools and open requests against a bound.

    Pools count once per device, at the largest plan that was let in so far, since they grow and
    never shrink. What the engines keep for themselves is not known here and not counted.

    Args:
        bound: bytes, None without bound.
        devices: pools of the runtime.
        fixed: bytes that are always held, such as the cache of prompts.
    """

    def __init__(self, bound: int | None, devices: int, fixed: int = 0) -> None:
        self._bound = bound
        self._devices = devices
        self._fixed = fixed
        self._pool = 0
        self.used = 0

    def check(self, job: Job) -> None:
        """Refuse what would not fit even alone.

        Raises:
            OutOfMemory: says what is needed.
        """
        needed = self._fixed + self._devices * job.planned.pool_bytes + job.nbytes
        if self._bound is not None and needed > self._bound:
            raise OutOfMemory(
                f"the request needs {needed} bytes, the runtime may use {self._bound}. Ask for "
                "fewer pictures, or open it with more memory_bytes or fewer slots or devices."
            )

    def fits(self, job: Job) -> bool:
        """Whether a request fits beside the open ones; alone it always does, once checked."""
        pool = max(self._pool, job.planned.pool_bytes)
        needed = self._fixed + self._devices * pool + self.used + job.nbytes
        return self._bound is None or needed <= self._bound or not self.used

    def take(self, job: Job) -> bool:
        """Count a request, if it fits.

        Returns:
            Whether it does.
        """
        if not self.fits(job):
            return False
        self._pool = max(self._pool, job.planned.pool_bytes)
        self.used += job.nbytes
        return True

    def give(self, job: Job) -> None:
        """A request has ended."""
        self.used -= job.nbytes

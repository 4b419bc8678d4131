"""How a runtime is set up, apart from its bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.engines.target import CPU, Target, check_device
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.phase import Phase, check_releasable
from denoisert.runtime.text.cache import CACHE_BYTES

SLOTS = 8
QUEUE = 64


@dataclass(frozen=True, slots=True)
class Options:
    """What a service decides about a runtime.

    Args:
        slots: pictures that run at the same time on each device, at least 1.
        queue: requests that may wait for a slot, at least 1.
        threads: intra-op threads of all devices together; None takes the cores that this process
            may use.
        devices: where to run: names such as "cpu" or "cuda:0", or targets; one may come several
            times.
        memory_bytes: what pools, kept prompts and open requests may use together; None means no
            bound.
        releases: phases whose weights leave memory whenever nobody waits for them.

    Raises:
        InvalidInput: a value outside its range.
    """

    slots: int = SLOTS
    queue: int = QUEUE
    threads: int | None = None
    devices: tuple[str | Target, ...] = (CPU,)
    memory_bytes: int | None = None
    releases: tuple[Phase, ...] = ()

    def __post_init__(self) -> None:
        for name in ("slots", "queue", "threads", "memory_bytes"):
            value = getattr(self, name)
            is_missing = value is None and name in ("threads", "memory_bytes")
            is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not is_missing and not is_count:
                raise InvalidInput(f"{name} {value!r} must be a whole number of at least 1.")
        check_releasable(self.releases)
        kinds = {_kind(each) for each in self.devices}
        if len(kinds) != 1:
            raise InvalidInput(
                f"devices {self.devices}: give at least one, all of one kind, for example "
                '("cpu",) or ("cuda:0", "cuda:1").'
            )

    @property
    def share(self) -> int:
        """Intra-op threads of each engine.

        Denoiser and codec of a device have as many each. Their sessions do not spin, so an idle one
        costs nothing. Measured with a text-to-picture model on 2 cores, threads of denoiser +
        codec: one request 0.30 s at 2 + 2, 0.36 s at 2 + 1, 0.34 s at 1 + 1; sixteen mixed ones
        3.3, 3.2 and 3.9 s.
        """
        return max(1, (self.threads or len(os.sched_getaffinity(0))) // len(self.devices))

    def kept_bytes(self, card: Card) -> int:
        """What encoded prompts may take: a fixed amount, at most an eighth of the budget."""
        if not card.texts:
            return 0
        bound = CACHE_BYTES if self.memory_bytes is None else self.memory_bytes // 8
        return min(CACHE_BYTES, bound)


def _kind(device: str | Target) -> tuple[str, str, bool]:
    """What all devices of a runtime have in common: target, dtype, and whether they are CPUs."""
    if isinstance(device, str):
        return "", "", check_device(device) == CPU
    return device.name, device.dtype, device.device == CPU

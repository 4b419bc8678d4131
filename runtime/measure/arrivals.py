"""When requests arrive: a Poisson process, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Arrival times of a Poisson process: independent exponential gaps of mean 1 / rate.

    Args:
        rate: arrivals per second, above 0.
        seconds: length of the window.
        seed: of the gaps.

    Yields:
        Seconds from the start of the window, ascending, all below `seconds`.
    """
    random = Random(seed)
    time = random.expovariate(rate)
    while time < seconds:
        yield time
        time += random.expovariate(rate)

"""The loads that `denoisert bench` is asked for, from its words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.load import Closed, Open

SHARE = "x"
MOST_CLIENTS = 10_000
MOST_RATE = 1e6


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of arrivals as it was typed.

    Args:
        text: for example "2.5" or "0.5x".
        value: requests per second, or the share of the capacity.
        is_share: which of them.
    """

    text: str
    value: float
    is_share: bool

    def load(self, capacity: float) -> Open:
        """The open loop.

        Args:
            capacity: requests per second that the closed loop reached at best.
        """
        return Open(self.value * capacity, self.text) if self.is_share else Open(self.value)


def clients(text: str) -> tuple[Closed, ...]:
    """The closed loops in "1,2,4,8".

    Raises:
        InvalidInput: not a list of whole numbers, each once.
    """
    words = text.split(",")
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    is_known = len(numbers) == len(words) == len(set(numbers))
    if not is_known or not all(1 <= number <= MOST_CLIENTS for number in numbers):
        raise InvalidInput(
            f"--concurrency {text}: give numbers of clients, each once, from 1 to {MOST_CLIENTS}, "
            "for example 1,2,4,8."
        )
    return tuple(Closed(number) for number in numbers)


def rates(text: str) -> tuple[Rate, ...]:
    """The rates in "2.5,0.5x": requests per second, with an x shares of the capacity.

    Raises:
        InvalidInput: not a list of positive numbers, each once.
    """
    found = tuple(_rate(word.strip()) for word in text.split(","))
    if len({rate.text for rate in found}) != len(found):
        raise InvalidInput(f"--rate {text} names a rate twice.")
    return found


def _rate(word: str) -> Rate:
    is_share = word.endswith(SHARE)
    try:
        value = float(word.removesuffix(SHARE))
    except ValueError:
        value = math.nan
    if not 0.0 < value <= MOST_RATE:
        raise InvalidInput(
            f"--rate {word!r}: give requests per second, for example 2.5, or a share of the "
            "capacity that the closed loop reaches, for example 0.5x."
        )
    return Rate(word, value, is_share)

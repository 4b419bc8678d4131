"""Lanes spread over calls of an engine as the pool does it, and what they answer in other company.

A bucket that is larger than its lanes repeats the first of them; answers to these are not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.export.random_inputs import Arrays
from denoisert.runtime.loop.lanes import Call, calls

LANES: Final = 8
"""Of the batch whose lanes are compared with themselves in smaller ones; 2 of whole pictures."""

COMPANY: Final = (1, 2, 4)
"""Numbers of lanes of the smaller batches."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One set of inputs as calls of an engine.

    Args:
        calls: in lane order.
        inputs: of each call, with as many lanes as its bucket.
    """

    calls: tuple[Call, ...]
    inputs: tuple[Arrays, ...]

    @classmethod
    def of(
        cls, inputs: Arrays, lanes: int, buckets: Sequence[int], shared: Collection[str] = ()
    ) -> Spread:
        """Inputs over as few calls as the buckets allow.

        Args:
            inputs: name -> array.
            lanes: how many.
            buckets: lane counts that the engine can be bound at, ascending.
            shared: names of inputs that are one value for all lanes.
        """
        found = tuple(calls(lanes, buckets))
        return cls(found, tuple(_part(inputs, call, shared) for call in found))

    def join(self, answers: Sequence[Arrays]) -> Arrays:
        """One array per output, a row for every lane.

        Args:
            answers: to each call, in order.
        """
        pairs = tuple(zip(self.calls, answers, strict=True))
        return {
            name: np.concatenate([answer[name][: call.lanes] for call, answer in pairs])
            for name in answers[0]
        }


@dataclass(frozen=True, slots=True)
class Company:
    """A few lanes of a batch by themselves.

    Args:
        first: where they start in the batch.
        lanes: how many.
    """

    first: int
    lanes: int


def companies(buckets: Sequence[int], most: int = LANES) -> tuple[int, tuple[Company, ...]]:
    """The batch, and the smaller ones at its beginning and its end, that an engine takes as it is.

    Args:
        buckets: of the engine, ascending.
        most: lanes of the batch.

    Returns:
        Lanes of the batch, and its parts; none for an engine of one bucket.
    """
    whole = max((bucket for bucket in buckets if bucket <= most), default=buckets[0])
    counts = [count for count in COMPANY if count in buckets and count < whole]
    places = [Company(first, count) for count in counts for first in (0, whole - count)]
    return whole, tuple(places)


def part_of(inputs: Arrays, company: Company, shared: Collection[str] = ()) -> Arrays:
    """What some lanes of a batch are asked.

    Args:
        inputs: of the batch.
        company: which.
        shared: names of inputs that are one value for all lanes.
    """
    return _part(inputs, Call(company.first, company.lanes, company.lanes), shared)


def largest_change(whole: Arrays, parts: Sequence[tuple[Company, Arrays]]) -> float:
    """How far a lane's answer moves with its company; 0 only where no bit does.

    Args:
        whole: answers of the batch, a row for every lane.
        parts: answers of the smaller batches.

    Returns:
        max|difference| / max|answer| over all outputs; infinite where a value is not finite.
    """
    return max(_changes(whole, parts), default=0.0)


def _changes(whole: Arrays, parts: Sequence[tuple[Company, Arrays]]) -> Iterator[float]:
    for company, answers in parts:
        rows = slice(company.first, company.first + company.lanes)
        for name, found in answers.items():
            yield _change(found, whole[name][rows], whole[name])


def _change(found: NDArray[Any], wanted: NDArray[Any], whole: NDArray[Any]) -> float:
    if found.tobytes() == wanted.tobytes():
        return 0.0
    difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
    scale = np.abs(whole.astype(np.float64)).max(initial=0.0)
    change = float(difference / scale) if scale else np.inf
    smallest = float(np.finfo(np.float64).tiny)  # -0 and 0 are other bits of equal numbers
    return max(change, smallest) if np.isfinite(change) else np.inf


def _part(inputs: Arrays, call: Call, shared: Collection[str]) -> Arrays:
    """The lanes of one call, its padding included."""
    rows = [*range(call.first, call.first + call.lanes)]
    rows += [call.first] * (call.bucket - call.lanes)
    return {name: array if name in shared else array[rows] for name, array in inputs.items()}

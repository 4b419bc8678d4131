"""What a request says about sizes, and the numbers that its branches are told of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Value
from denoisert.runtime.values import converted

Numbers = Mapping[Quantity, float]
Size = tuple[int, int]


def read_measures(inputs: tuple[ConditionInput, ...], value: Value) -> tuple[Numbers, Value]:
    """Part what is said about sizes from everything else.

    Args:
        inputs: the card's conditioning inputs.
        value: one side of a condition.

    Returns:
        The numbers that override those of the size, and the rest; None where nothing else is said.

    Raises:
        InvalidInput: something that is no finite number.
    """
    known = {m.quantity.value: m.quantity for entry in inputs for m in entry.measures}
    if not isinstance(value, Mapping) or not known.keys() & value.keys():
        return {}, value
    said = {known[name]: _number(name, value[name]) for name in value if name in known}
    rest = {name: each for name, each in value.items() if name not in known}
    return said, rest or None


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of one branch.

    Args:
        size: (height, width) in pixels that the request asks for; None of a state without pixels.
        own: what is said of this branch.
        uncond_of: for the uncond branch what is said of the other; None for the other itself.
    """

    size: Size | None
    own: Numbers = field(default_factory=dict)
    uncond_of: Numbers | None = None

    def values(self, inputs: tuple[ConditionInput, ...]) -> dict[str, NDArray[Any]]:
        """The values of one lane.

        Args:
            inputs: the card's conditioning inputs.

        Returns:
            Denoiser input -> values, of those fed from sizes.

        Raises:
            InvalidInput: a number follows from the size of a state that has none, or does not fit
                the input's type.
        """
        return {
            entry.name: converted(
                np.array([self._of(each) for each in entry.measures]).reshape(entry.shape),
                entry.dtype,
                f"condition {entry.name!r}",
            )
            for entry in inputs
            if entry.source is Source.SIZES
        }

    def _of(self, measure: Measure) -> float:
        quantity = measure.quantity
        if quantity in self.own:
            return self.own[quantity]
        if self.uncond_of is not None:
            if measure.uncond is not None:
                return measure.uncond
            if quantity in self.uncond_of:
                return self.uncond_of[quantity]
        if self.size is None and measure.value is None:
            raise InvalidInput(
                f"the network is told {quantity.value}, and this state has no size in pixels. "
                f'Pass it: Condition({{"{quantity.value}": number, ...}}).'
            )
        return measure.of(*(self.size or (1, 1)))


def _number(name: str, value: object) -> float:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    raise InvalidInput(f"condition {name!r} is {value!r}; pass a finite number.")

"""From what a request says to the values that each branch's lane is fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import Incompatible, InvalidInput
from denoisert.runtime.request import Condition, Value

Array = NDArray[Any]

SERVED = (Source.CLASS_LABEL, Source.EXTERNAL_ARRAY, Source.ZEROS)
CONDITIONS = 2


def check_sources(inputs: tuple[ConditionInput, ...]) -> None:
    """Refuse a card whose conditioning this runtime cannot produce.

    Raises:
        Incompatible: names the input and its source.
    """
    for entry in inputs:
        if entry.source not in SERVED:
            served = ", ".join(source.value for source in SERVED)
            raise Incompatible(
                f"input {entry.name!r} is fed from {entry.source.value!r}; this version feeds "
                f"{served}."
            )


def lane_values(
    inputs: tuple[ConditionInput, ...], condition: Condition, count: int
) -> tuple[dict[str, Array], ...]:
    """Values of the cond lane and, when guidance asks for it, of the uncond lane.

    Args:
        inputs: the card's conditioning inputs.
        condition: what the request says.
        count: conditions that the table names, 1 or 2.

    Returns:
        One dictionary of input name -> values per condition.

    Raises:
        InvalidInput: a label or array that the network was not trained with, or more conditions
            than a request has.
    """
    if count > CONDITIONS:
        raise InvalidInput(
            f"the guidance asks for {count} conditions; a request has {CONDITIONS}, positive and "
            "negative."
        )
    cond = _values(inputs, condition.positive)
    if count == 1:
        return (cond,)
    if condition.negative is not None:
        return cond, _values(inputs, condition.negative)
    return cond, {entry.name: _null(entry) for entry in inputs}


def _values(inputs: tuple[ConditionInput, ...], value: Value) -> dict[str, Array]:
    asked = [entry for entry in inputs if entry.source is not Source.ZEROS]
    if not isinstance(value, Mapping):
        if len(asked) > 1:
            raise InvalidInput(
                f"the network has {len(asked)} conditioning inputs, {_names(asked)}; pass a "
                "mapping from name "
                "to value."
            )
        value = {entry.name: value for entry in asked} if asked else _nothing(value)
    unknown = sorted(set(value) - {entry.name for entry in asked})
    missing = sorted({entry.name for entry in asked} - set(value))
    if unknown or missing:
        raise InvalidInput(
            f"condition names {unknown or missing} are {'unknown' if unknown else 'missing'}; "
            "the network takes "
            f"{_names(asked)}."
        )
    return {entry.name: _value(entry, value.get(entry.name)) for entry in inputs}


def _nothing(value: object) -> dict[str, Any]:
    if value is not None:
        raise InvalidInput(f"condition {value!r} for a network without conditioning; leave it out.")
    return {}


def _value(entry: ConditionInput, value: object) -> Array:
    if entry.source is Source.ZEROS:
        return np.zeros(entry.shape, entry.dtype)
    if entry.source is Source.CLASS_LABEL:
        return np.array(_label(entry, value), entry.dtype)
    if value is None:
        raise InvalidInput(
            f"condition {entry.name!r} is missing; pass an array of shape {entry.shape}."
        )
    array = numbers(value, f"condition {entry.name!r}")
    if array.shape != entry.shape:
        raise InvalidInput(
            f"condition {entry.name!r} is {array.dtype} {array.shape}; the network takes "
            f"{entry.dtype} {entry.shape}."
        )
    return converted(array, entry.dtype, f"condition {entry.name!r}")


def numbers(value: object, name: str) -> Array:
    """A value as an array of real numbers.

    Args:
        value: an array or nested sequences.
        name: what it is, for the message.

    Raises:
        InvalidInput: it is ragged, or holds something else than real numbers.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} is not an array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} holds {array.dtype}; pass an array of real numbers.")
    return array


def converted(array: Array, dtype: str, name: str) -> Array:
    """Finite numbers in another type; floats are rounded, whole numbers must survive as they are.

    Args:
        array: real numbers.
        dtype: NumPy name.
        name: what it is, for the message.

    Raises:
        InvalidInput: a value is NaN or infinite, or does not fit the type.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if not np.isfinite(array).all():
        raise InvalidInput(f"{name} has values that are NaN or infinite.")
    is_float = cast.dtype.kind == "f"
    if not (np.isfinite(cast).all() if is_float else np.array_equal(cast, array)):
        raise InvalidInput(f"{name} has values that do not fit {dtype}.")
    return cast


def _label(entry: ConditionInput, value: object) -> int:
    if isinstance(value, str) and value in entry.labels:
        return entry.labels.index(value)
    label = int(value) if isinstance(value, int | np.integer) else -1
    if 0 <= label < entry.classes and not isinstance(value, bool):
        return label
    names = f" or one of {', '.join(entry.labels[:8])}" if entry.labels else ""
    raise InvalidInput(
        f"class {value!r} for input {entry.name!r}; the network knows 0 to "
        f"{entry.classes - 1}{names}."
    )


def _null(entry: ConditionInput) -> Array:
    if entry.null is None and entry.source is not Source.ZEROS:
        raise InvalidInput(
            f"guidance needs an uncond branch, but input {entry.name!r} has no null condition. "
            "Pass Condition(..., negative=...) or use Unguided()."
        )
    return np.full(entry.shape, entry.null or 0, entry.dtype)


def _names(inputs: list[ConditionInput]) -> str:
    return ", ".join(repr(entry.name) for entry in inputs) or "none"

"""What a user passes for one input of a network, as the array that its graph takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import InvalidInput

Array = NDArray[Any]


def input_value(entry: ConditionInput, value: object) -> Array:
    """The value of one lane, for an input that is not fed from text.

    Args:
        entry: the input.
        value: a label, the name of one, an array, or None where nothing was said.

    Returns:
        An array of the input's shape and dtype.

    Raises:
        InvalidInput: the network was not trained with that, or it does not fit.
    """
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


def null_value(entry: ConditionInput) -> Array:
    """What the uncond branch is fed.

    Raises:
        InvalidInput: the network was not trained without this condition.
    """
    if entry.null is None and entry.source is not Source.ZEROS:
        raise InvalidInput(
            f"guidance needs an uncond branch, but input {entry.name!r} has no null condition. "
            "Pass Condition(..., negative=...) or use Unguided()."
        )
    return np.full(entry.shape, entry.null or 0, entry.dtype)

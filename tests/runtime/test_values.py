"""One value as the array that a graph takes; the wider paths are in test_conditioning.py."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.values import converted, input_value, null_value, numbers

LABEL = ConditionInput("label", Source.CLASS_LABEL, "int32", (), 3, 2.0, ("cat", "dog", "none"))
ARRAY = ConditionInput("context", Source.EXTERNAL_ARRAY, "float16", (2,), 0, 0.25)


@pytest.mark.parametrize("value", [1, "dog", np.int64(1), np.uint8(1)])
def test_labels_by_number_and_name(value: object) -> None:
    found = input_value(LABEL, value)
    assert (found.shape, found.dtype, int(found)) == ((), np.int32, 1)


@pytest.mark.parametrize("value", [3, -1, "cow", True, None, 1.0])
def test_other_labels_are_answered_with_the_known_ones(value: object) -> None:
    with pytest.raises(InvalidInput, match="knows 0 to 2 or one of cat, dog, none"):
        input_value(LABEL, value)


def test_arrays_and_zeros() -> None:
    assert input_value(ARRAY, [1, 2.5]).tolist() == [1.0, 2.5]
    zeros = ConditionInput("unused", Source.ZEROS, "int64", (2, 3))
    assert not input_value(zeros, None).any()
    with pytest.raises(InvalidInput, match=r"'context' is missing; .* \(2,\)"):
        input_value(ARRAY, None)


def test_nulls() -> None:
    assert int(null_value(LABEL)) == 2
    assert null_value(ARRAY).tolist() == [0.25, 0.25]
    with pytest.raises(InvalidInput, match="no null condition"):
        null_value(ConditionInput("kind", Source.CLASS_LABEL, "int64", (), 3))


@pytest.mark.parametrize("value", [[[1], [1, 2]], "x", object(), [1j], np.zeros(2, "M8[s]")])
def test_what_holds_no_real_numbers(value: object) -> None:
    with pytest.raises(InvalidInput, match="the start"):
        numbers(value, "the start")


def test_numbers_that_do_not_survive_another_type() -> None:
    assert converted(np.array([0.1]), "float32", "x")[0] == np.float32(0.1)
    for value, dtype in (([1e300], "float32"), ([300], "uint8"), ([0.5], "int64"), ([-1], "uint8")):
        with pytest.raises(InvalidInput, match=f"do not fit {dtype}"):
            converted(np.array(value), dtype, "x")
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        converted(np.array([np.nan]), "float32", "x")

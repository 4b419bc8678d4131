"""From what a request says to the values of each lane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.conditioning import check_sources, plan_conditions
from denoisert.runtime.errors import Incompatible, InvalidInput
from denoisert.runtime.request import Condition
from tests.runtime.coders import MASK, POOLED, TOLD

LABEL = ConditionInput("label", Source.CLASS_LABEL, "int64", (), 10, 10.0)
NAMED = ConditionInput("kind", Source.CLASS_LABEL, "int64", (), 3, None, ("cat", "dog", "3"))
ARRAY = ConditionInput("context", Source.EXTERNAL_ARRAY, "float32", (2, 3), 0, 0.0)
ZEROS = ConditionInput("unused", Source.ZEROS, "float32", (4,))


def lane_values(
    inputs: tuple[ConditionInput, ...], condition: Condition, count: int
) -> tuple[Mapping[str, np.ndarray], ...]:
    """The lanes of a network without text encoders."""
    return plan_conditions(inputs, (), {}, condition, count).fill({}.__getitem__)


def test_a_label_and_its_null() -> None:
    cond, uncond = lane_values((LABEL,), Condition(3), 2)
    assert (cond["label"], uncond["label"]) == (3, 10)
    assert cond["label"].dtype == np.int64
    assert cond["label"].shape == ()


def test_one_condition_has_no_null() -> None:
    assert len(lane_values((NAMED,), Condition("dog"), 1)) == 1


def test_a_negative_condition_takes_the_place_of_the_null() -> None:
    _, uncond = lane_values((LABEL,), Condition(3, negative=7), 2)
    assert uncond["label"] == 7


def test_names_of_classes() -> None:
    assert lane_values((NAMED,), Condition("dog"), 1)[0]["kind"] == 1
    assert lane_values((NAMED,), Condition("3"), 1)[0]["kind"] == 2


@pytest.mark.parametrize("label", [-1, 10, 2**70, 1.0, True, None, "cat", [3], np.float32(2)])
def test_labels_that_do_not_exist(label: object) -> None:
    with pytest.raises(InvalidInput, match="knows 0 to 9"):
        lane_values((LABEL,), Condition(label), 1)  # type: ignore[arg-type]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="cat, dog"):
        lane_values((NAMED,), Condition("cow"), 1)


def test_guidance_without_a_null_condition_says_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="negative="):
        lane_values((NAMED,), Condition(1), 2)
    assert lane_values((NAMED,), Condition(1, negative=0), 2)[1]["kind"] == 0


def test_arrays_keep_their_values_in_the_graph_s_type() -> None:
    values = np.arange(6.0).reshape(2, 3)
    cond, uncond = lane_values((ARRAY,), Condition({"context": values}), 2)
    np.testing.assert_array_equal(cond["context"], values.astype(np.float32))
    assert cond["context"].dtype == np.float32
    assert not uncond["context"].any()


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.zeros((3, 2)),
        np.zeros(6),
        np.full((2, 3), np.nan),
        np.full((2, 3), np.inf),
        np.full((2, 3), 1e300),
        np.full((2, 3), 1j),
        np.full((2, 3), "x"),
        [[1, 2], [3]],
    ],
    ids=repr,
)
def test_arrays_that_do_not_fit(value: object) -> None:
    with pytest.raises(InvalidInput, match="context"):
        lane_values((ARRAY,), Condition({"context": value}), 1)


def test_whole_numbers_keep_their_values_in_the_graph_s_type() -> None:
    entry = ConditionInput("ids", Source.EXTERNAL_ARRAY, "int8", (2,), 0, 0.0)
    for fits in ([1, -128], np.array([3.0, 4.0]), np.array([True, False])):
        (cond,) = lane_values((entry,), Condition({"ids": fits}), 1)
        assert cond["ids"].dtype == np.int8
        np.testing.assert_array_equal(cond["ids"], fits)
    for lost in ([1, 128], [1.5, 2.0], [2**70, 1]):
        with pytest.raises(InvalidInput, match="ids"):
            lane_values((entry,), Condition({"ids": lost}), 1)


def test_several_inputs_need_a_mapping_with_exactly_their_names() -> None:
    values = np.zeros((2, 3))
    inputs = (LABEL, ARRAY, ZEROS)
    (cond,) = lane_values(inputs, Condition({"label": 1, "context": values}), 1)
    assert set(cond) == {"label", "context", "unused"}
    assert cond["unused"].shape == (4,)
    for wrong, word in ((3, "mapping"), ({"label": 1}, "missing"), ({"lable": 1}, "unknown")):
        with pytest.raises(InvalidInput, match=word):
            lane_values(inputs, Condition(wrong), 1)


def test_a_network_without_conditioning_takes_none() -> None:
    assert lane_values((), Condition(None), 1) == ({},)
    assert lane_values((ZEROS,), Condition(None), 1)[0]["unused"].shape == (4,)
    with pytest.raises(InvalidInput, match="without conditioning"):
        lane_values((), Condition(3), 1)


def test_more_conditions_than_a_request_has() -> None:
    with pytest.raises(InvalidInput, match="positive and negative"):
        lane_values((LABEL,), Condition(3), 3)


def test_sources_that_this_version_cannot_feed_are_named() -> None:
    entry = ConditionInput("input", Source.TABLE_SCALAR, "float32", (2,))
    with pytest.raises(Incompatible, match=r"table_scalar.*network\.scalars"):
        check_sources((LABEL, entry))


@pytest.mark.parametrize("source", [Source.MASK, Source.EXTERNAL_PICTURE])
def test_a_mask_and_a_picture_belong_together(source: Source) -> None:
    entry = ConditionInput("shown", source, "float32", (1, 2, 2))
    with pytest.raises(Incompatible, match=r"'shown'.*both or none"):
        check_sources((LABEL, entry))
    pair = (Source.MASK, Source.EXTERNAL_PICTURE)
    check_sources(tuple(replace(entry, name=each.value, source=each) for each in pair))


def test_sources_that_it_can() -> None:
    hidden = replace(TOLD, name="layer", source=Source.HIDDEN_LAYER)
    check_sources((LABEL, ARRAY, ZEROS, TOLD, POOLED, MASK, hidden))

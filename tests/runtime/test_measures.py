"""Numbers about a picture's size: from the request's size, from its condition, on both branches."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.conditioning import check_sources, plan_conditions
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Condition
from denoisert.runtime.text.tokenizer import Tokenizer
from tests.runtime.coders import TEXT, TOKENS, TOLD, WIDTH, tokenizer_json
from tests.runtime.networks import perceptron

SIZE = (1024, 768)
CROPPED = (
    *(Quantity.ORIGINAL_HEIGHT, Quantity.ORIGINAL_WIDTH),
    *(Quantity.CROP_TOP, Quantity.CROP_LEFT),
    *(Quantity.TARGET_HEIGHT, Quantity.TARGET_WIDTH),
)
TIME_IDS = ConditionInput(
    "time_ids", Source.SIZES, "float32", (6,), measures=tuple(map(Measure, CROPPED))
)
SCORED = replace(
    TIME_IDS,
    shape=(5,),
    measures=(*map(Measure, CROPPED[:4]), Measure(Quantity.SCORE, 6.0, 2.5)),
)
RESOLUTION = ConditionInput(
    *("resolution", Source.SIZES, "float32", (2,)),
    measures=(Measure(Quantity.HEIGHT), Measure(Quantity.WIDTH)),
)
RATIO = ConditionInput(
    "aspect_ratio", Source.SIZES, "float32", (1,), measures=(Measure(Quantity.RATIO),)
)
LABEL = ConditionInput("label", Source.CLASS_LABEL, "int64", (), 10, 10.0)


def values(inputs, condition=None, count=2, size=SIZE):
    """Per branch, the values of each input fed from sizes, as lists."""
    said = Condition(3) if condition is None else condition
    lanes = plan_conditions((LABEL, *inputs), (), {}, said, count, size=size).fill({}.__getitem__)
    return [{entry.name: lane[entry.name].tolist() for entry in inputs} for lane in lanes]


def test_they_follow_from_the_size_that_is_asked_for():
    sizes = [*SIZE, 0, 0, *SIZE]
    assert values((TIME_IDS,)) == [{"time_ids": sizes}] * 2
    assert values((TIME_IDS,), size=(512, 640))[0]["time_ids"] == [512, 640, 0, 0, 512, 640]


def test_a_resolution_and_its_ratio():
    found = values((RESOLUTION, RATIO), count=1)
    assert found == [{"resolution": [1024, 768], "aspect_ratio": [np.float32(1024 / 768)]}]


def test_the_order_is_the_card_s():
    turned = replace(TIME_IDS, measures=TIME_IDS.measures[::-1])
    said = Condition({"label": 1, "crop_left": 7, "target_height": 9})
    (found, _) = values((turned,), said)
    assert found["time_ids"] == [768, 9, 7, 0, 768, 1024]


def test_what_is_said_holds_for_both_branches_unless_the_negative_says_otherwise():
    positive = {"label": 3, "original_height": 100, "crop_top": 5.0}
    cond, uncond = values((TIME_IDS,), Condition(positive))
    assert cond == uncond == {"time_ids": [100, 768, 5, 0, *SIZE]}
    both = Condition(positive, {"label": 1, "original_height": 50})
    cond, uncond = values((TIME_IDS,), both)
    assert cond["time_ids"] == [100, 768, 5, 0, *SIZE]
    assert uncond["time_ids"] == [50, 768, 5, 0, *SIZE]


def test_a_negative_that_only_says_a_size_keeps_the_null_condition():
    said = Condition({"label": 3}, {"original_height": 50})
    lanes = plan_conditions((LABEL, TIME_IDS), (), {}, said, 2, size=SIZE).fill({}.__getitem__)
    assert [int(lane["label"]) for lane in lanes] == [3, 10]
    assert [lane["time_ids"][0] for lane in lanes] == [1024, 50]


def test_a_score_has_a_value_of_its_own_on_each_branch():
    cond, uncond = values((SCORED,))
    assert (cond["time_ids"][4], uncond["time_ids"][4]) == (6.0, 2.5)
    cond, uncond = values((SCORED,), Condition({"label": 3, "score": 7.5}))
    assert (cond["time_ids"][4], uncond["time_ids"][4]) == (7.5, 2.5)
    said = Condition({"label": 3, "score": 7.5}, {"label": 0, "score": 1})
    assert values((SCORED,), said)[1]["time_ids"][4] == 1.0


def test_beside_a_prompt():
    tokenizers = {TEXT.name: Tokenizer(tokenizer_json(), TEXT)}
    said = Condition({"prompt": "red", "crop_left": 3}, "green")
    plan = plan_conditions((TOLD, TIME_IDS), (TEXT,), tokenizers, said, 2, size=SIZE)
    lanes = plan.fill(lambda _: {"h": np.zeros((TOKENS, WIDTH), np.float32)})
    assert [lane["time_ids"].tolist() for lane in lanes] == [[*SIZE, 0, 3, *SIZE]] * 2
    assert len(plan.prompts) == 2
    plain = plan_conditions((TOLD, TIME_IDS), (TEXT,), tokenizers, Condition("red"), 1, size=SIZE)
    assert plain.prompts == plan.prompts[:1]


@pytest.mark.parametrize("value", ["7", None, True, float("nan"), float("inf"), [1]], ids=repr)
def test_what_is_no_number(value):
    with pytest.raises(InvalidInput, match="'crop_top'"):
        values((TIME_IDS,), Condition({"label": 1, "crop_top": value}))


def test_a_number_that_does_not_fit_the_input():
    whole = replace(TIME_IDS, dtype="int64")
    assert values((whole,))[0]["time_ids"] == [*SIZE, 0, 0, *SIZE]
    with pytest.raises(InvalidInput, match="'time_ids' has values that do not fit int64"):
        values((whole,), Condition({"label": 1, "crop_top": 0.5}))


def test_a_network_without_them_does_not_know_their_names():
    with pytest.raises(InvalidInput, match=r"'crop_top'.* unknown"):
        values((RATIO,), Condition({"label": 1, "crop_top": 0}))


def test_a_state_without_pixels_has_to_be_told():
    with pytest.raises(InvalidInput, match="told original_height, and this state has no size"):
        values((TIME_IDS,), size=None)
    said = {quantity.value: 4 for quantity in CROPPED}
    assert values((TIME_IDS,), Condition({"label": 1, **said}), size=None)[0] == {
        "time_ids": [4.0] * 6
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"measures": ()},
        {"measures": TIME_IDS.measures[:5]},
        {"measures": (TIME_IDS.measures[0],) * 6},
        {"source": Source.ZEROS},
    ],
    ids=["none", "fewer", "twice", "zeros"],
)
def test_cards_whose_measures_do_not_fit_their_input(changes):
    with pytest.raises(InvalidInput, match="one of its own for each number"):
        replace(TIME_IDS, **changes)


def test_a_score_needs_a_value():
    with pytest.raises(InvalidInput, match="give the measure a value"):
        Measure(Quantity.SCORE)


def test_a_card_keeps_them():
    card = perceptron().card(conditions=(*perceptron().conditions, SCORED, RATIO))
    check_sources(card.conditions)
    assert Card.from_json(card.to_json()) == card

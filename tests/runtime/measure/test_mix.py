"""What a load asks for, read strictly and drawn repeatably."""

import json
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.mix import PROMPTS, Mix, Setting
from denoisert.runtime.request import Condition, Limits
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.schedules import Karras
from denoisert.runtime.sampling.solvers import DDIM

FULL = {
    "conditions": ["a cat", 3],
    "weight": 2,
    "negative": "a dog",
    "images": 2,
    "steps": 9,
    "solver": "ddim(eta=0.5)",
    "schedule": "karras(rho=5)",
    "guidance": 4,
    "deadline_s": 1.5,
    "priority": 7,
}


def written(tmp_path, data):
    path = tmp_path / "mine.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_every_key_of_a_setting_reaches_its_requests(tmp_path):
    mix = Mix.read(written(tmp_path, {"settings": [FULL]}))
    request = mix.draw(41)
    assert request.condition in (Condition("a cat", "a dog"), Condition(3, "a dog"))
    assert (request.seed, request.images, request.steps) == (41, 2, 9)
    assert (request.solver, request.schedule) == (DDIM(eta=0.5), Karras(rho=5.0))
    assert (request.guidance, request.limits) == (CFG(4.0), Limits(deadline_s=1.5, priority=7))


def test_the_example_of_the_documentation_is_read(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "measure.md").read_text()
    example = text.split("```json\n")[1].split("```")[0]
    mix = Mix.read(written(tmp_path, example))
    assert [setting.steps for setting in mix.settings] == [20, 8]
    keys = {line.split("|")[1] for line in text.splitlines() if line.startswith("| `")}
    named = {word.strip(" `") for key in keys for word in key.split(",")}
    assert named == {field.name for field in fields(Setting)}


def test_what_is_left_out_is_left_to_the_card(tmp_path):
    request = Mix.read(written(tmp_path, {"settings": [{"conditions": [1]}]})).draw(0)
    assert (request.steps, request.solver, request.schedule, request.guidance) == (None,) * 4
    assert (request.images, request.limits) == (1, Limits())


def test_a_network_without_conditions_is_told_nothing():
    assert Mix("x", (Setting(),)).draw(0).told == Condition(None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"step": 9}, r"mine\.json\.settings\[0\]: unknown key 'step'"),
        ({"steps": "9"}, r"settings\[0\]\.steps must be a whole number"),
        ({"steps": 0}, r"settings\[0\]: steps 0"),
        ({"steps": True}, r"settings\[0\]\.steps"),
        ({"solver": "eulr"}, r"settings\[0\]\.solver: 'eulr' is not a solver.*euler"),
        ({"solver": {"name": "ddim"}}, r"solver must be a text"),
        ({"schedule": "karras(roh=1)"}, "rho"),
        ({"guidance": "4"}, r"guidance must be a finite number"),
        ({"weight": 0}, "weight 0"),
        ({"weight": -1}, "weight -1"),
        ({"images": 0}, "images 0"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"conditions": "a cat"}, "conditions must be a list"),
        ({"conditions": [1.5]}, r"conditions\[0\]"),
        ({"conditions": [None]}, r"conditions\[0\]"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, change, says):
    with pytest.raises(InvalidInput, match=says):
        Mix.read(written(tmp_path, {"settings": [FULL | change]}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"mine\.json is not valid JSON"),
        ('{"settings": []}', "0 settings"),
        ("[]", "must be an object"),
        ('{"settings": [{"weight": NaN}]}', "NaN"),
        ('{"settings": [{"weight": 1, "weight": 2}]}', "twice"),
        ('{"settings": [{}], "seed": 3}', "unknown key 'seed'"),
    ],
)
def test_what_is_no_mix_is_refused(tmp_path, text, says):
    with pytest.raises(InvalidInput, match=says):
        Mix.read(written(tmp_path, text))


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        Mix.read(tmp_path / "none.json")


def test_settings_are_drawn_by_weight_and_conditions_evenly():
    mix = Mix("x", (Setting((1, 2), weight=3.0, steps=5), Setting((9,), weight=1.0, steps=7)))
    requests = [mix.draw(number) for number in range(2000)]
    counts = Counter((request.steps, request.told.positive) for request in requests)
    assert counts[7, 9] == pytest.approx(500, abs=90)  # 4.6 standard deviations
    assert counts[5, 1] == pytest.approx(750, abs=100)
    assert len({request.seed for request in requests}) == 2000


def test_the_same_number_is_the_same_request():
    settings = (Setting(tuple(range(8))),)
    draws = [[Mix("x", settings, seed).draw(n).told for n in range(40)] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_the_name_tells_contents_apart():
    names = [
        Mix("x", (Setting((1,), steps=steps),), seed).name for steps in (4, 5) for seed in (0, 1)
    ]
    assert len(set(names)) == 4
    assert all(name.startswith("x ") for name in names)
    assert names[0] == Mix("x", (Setting((1,), steps=4),)).name


def test_a_deadline_for_every_request():
    plain = Mix("x", (Setting((1,)), Setting((2,), deadline_s=9.0)))
    bounded = plain.bounded(0.25)
    for number in range(20):
        assert bounded.draw(number).limits == Limits(deadline_s=0.25)
        assert bounded.draw(number).told == plain.draw(number).told
    assert bounded.name != plain.name
    with pytest.raises(InvalidInput, match="deadline_s"):
        plain.bounded(-1.0)


def test_every_kind_has_each_condition_of_each_setting():
    mix = Mix("x", (Setting((1, 2), steps=5), Setting(steps=7)))
    found = [(request.steps, request.told.positive) for request in mix.every_kind()]
    assert found == [(5, 1), (5, 2), (7, None)]


def test_the_default_asks_for_every_class_but_the_null_one(digits_bundle):
    card = Bundle.open(digits_bundle).card
    asked = {request.told.positive for request in Mix.of(card).every_kind()}
    assert asked == set(range(10)) - {card.conditions[0].null}
    assert Mix.of(card).name.startswith("default ")


def test_the_default_of_other_cards(digits_bundle):
    card = Bundle.open(digits_bundle).card
    zeros = ConditionInput("z", Source.ZEROS, "float32", (3,))
    array = ConditionInput("a", Source.EXTERNAL_ARRAY, "float32", (3,))
    unconditional = Mix.of(replace(card, conditions=(zeros,)))
    assert unconditional.draw(5).told == Condition(None)
    with pytest.raises(InvalidInput, match="a \\(external_array\\)"):
        Mix.of(replace(card, conditions=(array,)))


def test_the_default_of_a_text_model_is_prompts(text_bundle):
    mix = Mix.of(Bundle.open(text_bundle).card)
    assert {request.told.positive for request in mix.every_kind()} == set(PROMPTS)

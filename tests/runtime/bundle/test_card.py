"""A card goes to JSON and back, and every wrong key or value is refused by its place."""

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.names import GUIDANCE, SCHEDULES, SPACINGS

ROOT = Path(__file__).parents[3]
STORED = ROOT / "tests" / "data" / "format-1.bundle" / "manifest.json"
DOCUMENT = ROOT / "docs" / "card.md"


@pytest.fixture
def plain() -> dict[str, Any]:
    return json.loads(STORED.read_bytes())["card"]


def at(plain: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    """A copy with the value at "network.ports.0.0.first", say, set, or removed by `...`."""
    changed = copy.deepcopy(plain)
    *above, last = place.split(".")
    target: Any = changed
    for piece in above:
        target = target[int(piece) if piece.isdigit() else piece]
    if value is ...:
        del target[last]
    else:
        target[int(last) if last.isdigit() else last] = value
    return changed


def test_card_survives_json(plain: dict[str, Any]) -> None:
    card = Card.from_dict(plain)
    assert Card.from_json(card.to_json()) == card
    assert Card.from_dict(card.to_dict()) == card
    assert card.to_json() == Card.from_json(card.to_json()).to_json()


def test_values_arrive_as_types(plain: dict[str, Any]) -> None:
    card = Card.from_dict(plain)
    assert card.training.parametrisation.value == "flow"
    assert card.layout.elements == 16
    assert card.conditions[0].null == 3.0
    assert card.conditions[0].labels == ("none", "some", "all")
    assert repr(card.sampler.solver) == "Euler()"
    assert card.network.ports[0][0].channels == 1


def test_whole_numbers_and_floats_are_one_text(plain: dict[str, Any]) -> None:
    card = Card.from_dict(plain)
    label = dataclasses.replace(card.conditions[0], null=3.0)
    whole = dataclasses.replace(label, null=3)
    texts = [dataclasses.replace(card, conditions=(item,)).to_json() for item in (label, whole)]
    assert texts[0] == texts[1]


def test_to_dict_writes_every_key_and_only_json(plain: dict[str, Any]) -> None:
    written = Card.from_dict(plain).to_dict()
    assert json.loads(json.dumps(written)) == written
    assert set(written) == {*plain, "texts", "autoencoder"}
    assert (written["texts"], written["autoencoder"]) == ([], None)
    assert written["training"] == plain["training"]
    assert written["sampler"]["guidance"]["scale"] == 2.0


OPTIONAL = (
    "picture",
    "training.distilled",
    "training.timesteps",
    "conditions.0.shape",
    "conditions.0.null",
    "conditions.0.labels",
    "network.scalars",
    "network.ports.0.0.part",
    "sampler.guidance",
)


@pytest.mark.parametrize("place", OPTIONAL)
def test_keys_with_a_default_may_be_left_out(plain: dict[str, Any], place: str) -> None:
    card = Card.from_dict(at(plain, place, ...))
    assert Card.from_dict(card.to_dict()) == card


REQUIRED = (
    "name",
    "licence",
    "training",
    "training.parametrisation",
    "training.schedule",
    "layout",
    "layout.0.shape",
    "conditions",
    "conditions.0.source",
    "network.time",
    "network.ports",
    "network.ports.0.0.output",
    "sampler",
    "sampler.solver",
    "sampler.steps",
)


@pytest.mark.parametrize("place", REQUIRED)
def test_a_missing_key_is_named_with_its_place(plain: dict[str, Any], place: str) -> None:
    *above, key = re.sub(r"\.(\d)", r"[\1]", place).split(".")
    with pytest.raises(InvalidInput) as caught:
        Card.from_dict(at(plain, place, ...))
    text = str(caught.value)
    assert text.startswith(".".join(["card", *above]) + ": ")
    assert f"key {key!r} is missing" in text
    assert "known keys are" in text


@pytest.mark.parametrize(
    "place", ["lience", "training.beta", "network.ports.0.0.last", "picture.x"]
)
def test_an_unknown_key_is_named_with_value_and_choice(plain: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput, match="unknown key") as caught:
        Card.from_dict(at(plain, place, 17))
    text = str(caught.value)
    assert repr(place.rsplit(".", maxsplit=1)[-1]) in text
    assert "17" in text
    assert "known keys are" in text


WRONG = [
    ("name", 3, "card.name must be a text; found 3"),
    ("name", "", "empty name"),
    ("training", [], "must be an object with the keys parametrisation"),
    ("training.parametrisation", "epsilon", "known values are eps, x0, v, flow, score"),
    ("training.parametrisation", ["eps"], "known values are eps"),
    ("training.schedule", {"name": "karras"}, "'karras' is a schedule of steps, not"),
    ("training.schedule", {"name": "flow", "shft": 3}, "no field 'shft'"),
    ("training.schedule", {"name": "flow", "shift": float("nan")}, "card.training.schedule"),
    ("training.schedule", {"name": "flow", "shift": 10**400}, "card.training.schedule"),
    ("training.schedule", {"name": ["flow"]}, "card.training.schedule"),
    ("training.schedule", "flow", "card.training.schedule"),
    ("training.distilled", 1, "true or false"),
    ("training.timesteps", [0.5, "1"], r"timesteps\[1\] must be a finite number; found '1'"),
    ("training.timesteps", [float("nan")], "must be a finite number"),
    ("training.timesteps", [float("inf")], "must be a finite number"),
    ("training.timesteps", 5, "must be a list"),
    ("layout", [], "parts of different names"),
    ("layout", [{"name": "a", "shape": [1]}] * 2, "card.layout: .*different names"),
    ("layout.0.shape", [1, 0, 4], "at least 1"),
    ("layout.0.shape", [1.0, 4, 4], "whole number"),
    ("layout.0.shape", [True, 4, 4], "whole number"),
    ("conditions.0.source", "label", "known values are class_label"),
    ("conditions.0.dtype", "int65", "known are bool"),
    ("conditions.0.shape", [0], "sizes start at 1"),
    ("conditions.0.classes", 0, "needs at least 1"),
    ("conditions.0.classes", -1, "needs at least 1"),
    ("conditions.0.null", 2.5, "no label"),
    ("conditions.0.null", True, "finite number"),
    ("conditions.0.labels", ["one"], "1 labels for 3 classes"),
    ("conditions.0.source", "mask", "every other source 0"),
    ("conditions.0.name", "time", "names that differ"),
    ("conditions.0.name", "", "names that differ"),
    ("network.time_shape", "vector", "known values are lanes, scalar"),
    ("network.time_dtype", "float", "has dtype 'float'"),
    ("network.ports", [], "at least one port"),
    ("network.ports", [[]], "at least one port"),
    ("network.ports.0.0.first", -1, "start at 0"),
    ("network.ports.0.0.channels", 2, "They must agree"),
    ("network.ports.0.0.part", 1, "parts 0 to 0"),
    ("network.scalars", ["a", "b", "c", "d", "e"], "at most 4"),
    ("network.scalars", ["latent"], "names that differ"),
    ("sampler.solver", {"name": "trailing"}, "solver: 'trailing' is a schedule of steps"),
    ("sampler.guidance", {"name": "cfg", "scale": "2"}, "card.sampler.guidance"),
    ("sampler.steps", 0, "at least 1"),
    ("sampler.steps", 25.0, "whole number"),
    ("picture", {"low": 1, "high": 1.0}, "must differ"),
    ("picture.low", None, "finite number"),
]


@pytest.mark.parametrize(("place", "value", "says"), WRONG)
def test_a_wrong_value_is_refused(
    plain: dict[str, Any], place: str, value: object, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        Card.from_dict(at(plain, place, value))


@pytest.mark.parametrize("data", [None, [], "card", 3])
def test_something_else_than_an_object_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput, match="card must be an object"):
        Card.from_dict(data)


def test_errors_carry_the_name_of_the_file() -> None:
    with pytest.raises(InvalidInput, match=r"my\.json: key 'name' is missing; found no key"):
        Card.from_json(b"{}", "my.json")
    with pytest.raises(InvalidInput, match=r"my\.json is not valid JSON"):
        Card.from_json(b"{", "my.json")


def test_the_documented_example_is_a_card() -> None:
    example = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    card = Card.from_json(example[1].encode(), "example")
    assert card.name == "digits"
    assert card.sampler.steps == 16


def key_names(data: object) -> set[str]:
    """Every key of our own in a card; the fields of solvers and schedules are theirs."""
    if isinstance(data, list):
        return set().union(*map(key_names, data))
    if not isinstance(data, dict) or data.get("name") in ("flow", "euler", "trailing", "cfg"):
        return set()
    return set(data).union(*map(key_names, data.values()))


def test_the_document_names_every_key(plain: dict[str, Any]) -> None:
    table = DOCUMENT.read_text(encoding="utf-8").split("| key | meaning |")[1]
    documented = set(re.findall(r"[\w]+", " ".join(re.findall(r"^\|(.*?)\|", table, re.MULTILINE))))
    documented |= {"low", "high"} & set(re.findall(r"`(\w+)`", table))
    assert key_names(plain) <= documented


def test_the_document_lists_every_schedule_and_guidance() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").split("| key | meaning |")[1]
    rows = {row.split("|")[1]: row for row in table.splitlines() if row.startswith("|")}
    for key, names in (
        ("training.schedule", SCHEDULES),
        ("sampler.spacing", SPACINGS),
        ("sampler.guidance", GUIDANCE),
    ):
        (row,) = [row for cell, row in rows.items() if f"`{key}`" in cell]
        assert set(names) <= set(re.findall(r"`(\w+)`", row)), key

"""Options that choose a sampler: what they leave to the card, and what they refuse."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli.sampler import OPTIONS, add_options, condition_value, overridden, request
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Condition, Request
from denoisert.runtime.sampling.guidance import CFG, EmbeddedGuidance, Guidance, Unguided
from denoisert.runtime.sampling.schedules import Karras, Trailing
from denoisert.runtime.sampling.solvers import DDIM, Euler
from tests.runtime.sampling.test_embedded import card_of


@pytest.fixture(scope="module")
def card(digits_bundle: Path) -> Card:
    return Bundle.open(digits_bundle).card


def asked(card: Card, *words: str) -> Request:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return request(parser.parse_args(words), card, Condition(3), seed=5, images=2)


def advising(card: Card, guidance: Guidance) -> Card:
    return replace(card, sampler=replace(card.sampler, guidance=guidance))


def test_without_options_everything_is_left_to_the_card(card: Card) -> None:
    assert asked(card) == Request(Condition(3), seed=5, images=2)


def test_names_become_objects(card: Card) -> None:
    found = asked(card, "--solver", "ddim(eta=0.5)", "--schedule", "karras(rho=5)", "--steps", "9")
    assert (found.solver, found.schedule, found.steps) == (DDIM(eta=0.5), Karras(rho=5.0), 9)
    found = asked(card, "--solver", "euler", "--schedule", "trailing")
    assert (found.solver, found.schedule) == (Euler(), Trailing())


@pytest.mark.parametrize("name", ["", "eulr", "__import__('os')", "euler()()", "trailing"])
def test_unknown_solvers_are_refused_with_the_known_ones(card: Card, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"dpmpp_2m|by field: euler\(\)"):
        asked(card, "--solver", name)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--guidance", "4"], CFG(4.0)),
        (["--guidance", "1"], CFG(1.0)),
        (["--guidance", "4", "--rescale", "0.7"], CFG(4.0, rescale=0.7)),
        (["--guidance", "4", "--interval", "0.2", "5"], CFG(4.0, interval=(0.2, 5.0))),
        (["--guidance", "-2"], CFG(-2.0)),
    ],
)
def test_a_scale_makes_a_new_rule(card: Card, words: list[str], expected: CFG) -> None:
    advised = advising(card, CFG(9.0, interval=(1.0, 2.0), rescale=0.1))
    assert asked(advised, *words).guidance == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--rescale", "0.7"], CFG(9.0, interval=(1.0, 2.0), rescale=0.7)),
        (["--rescale", "0"], CFG(9.0, interval=(1.0, 2.0))),
        (["--interval", "0", "inf"], CFG(9.0, interval=(0.0, float("inf")), rescale=0.1)),
    ],
)
def test_without_a_scale_the_rule_of_the_card_changes(
    card: Card, words: list[str], expected: CFG
) -> None:
    advised = advising(card, CFG(9.0, interval=(1.0, 2.0), rescale=0.1))
    assert asked(advised, *words).guidance == expected


def test_an_unguided_card_needs_a_scale(card: Card) -> None:
    with pytest.raises(InvalidInput, match="--guidance G"):
        asked(advising(card, Unguided()), "--rescale", "0.5")
    with pytest.raises(InvalidInput, match="--rescale and --interval"):
        asked(advising(card, Unguided()), "--rescale", "0.5", "--interval", "0", "1")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["--guidance", "4"], EmbeddedGuidance(4.0)),
        (["--beside", "2"], EmbeddedGuidance(3.5, beside=CFG(2.0))),
        (["--guidance", "4", "--beside", "2"], EmbeddedGuidance(4.0, beside=CFG(2.0))),
        (["--beside", "2", "--rescale", "0.5"], EmbeddedGuidance(3.5, CFG(2.0, rescale=0.5))),
    ],
)
def test_a_network_that_is_told_its_scale_may_have_a_second_branch(
    words: list[str], expected: EmbeddedGuidance | None
) -> None:
    assert asked(card_of("scale"), *words).guidance == expected


def test_a_second_branch_beside_nothing(card: Card) -> None:
    with pytest.raises(InvalidInput, match=r"is told none\. Give --guidance G alone"):
        asked(card, "--beside", "2")
    with pytest.raises(InvalidInput, match=r"--rescale change how two .* Add --beside G"):
        asked(card_of("scale"), "--guidance", "4", "--rescale", "0.5")


@pytest.mark.parametrize(
    "words",
    [
        ["--guidance", "nan"],
        ["--guidance", "inf"],
        ["--rescale", "1.5"],
        ["--rescale", "nan"],
        ["--interval", "2", "1"],
        ["--interval", "-1", "1"],
        ["--interval", "nan", "1"],
        ["--steps", "0"],
        ["--steps", "1001"],
    ],
)
def test_values_outside_their_range_are_refused(card: Card, words: list[str]) -> None:
    with pytest.raises(InvalidInput):
        asked(card, *words)


@pytest.mark.parametrize("words", [["--steps", "2.5"], ["--guidance", "much"], ["--interval", "1"]])
def test_words_of_another_type_are_refused_by_the_parser(card: Card, words: list[str]) -> None:
    with pytest.raises(argparse.ArgumentError):
        asked(card, *words)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    add_options(parser, "b-", "sampler of B", "as A")
    return parser.parse_args(words)


def test_options_with_a_prefix_replace_the_plain_ones(card: Card) -> None:
    args = parsed("--steps", "9", "--solver", "euler", "--b-steps", "4", "--b-guidance", "3")
    first, second = request(args, card), request(overridden(args, "b-"), card)
    assert (first.steps, first.solver, first.guidance) == (9, Euler(), None)
    assert (second.steps, second.solver, second.guidance) == (4, Euler(), CFG(3.0))
    assert args.steps == 9


def test_without_prefixed_options_both_are_the_same(card: Card) -> None:
    args = parsed("--schedule", "karras", "--rescale", "0.5")
    assert request(overridden(args, "b-"), card) == request(args, card)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_can_be_overridden(card: Card, name: str) -> None:
    values = {
        "steps": ["3"],
        "solver": ["ddim"],
        "schedule": ["karras"],
        "guidance": ["2"],
        "beside": ["2"],
        "rescale": ["0.25"],
        "interval": ["1", "2"],
    }
    card = card_of("scale") if name == "beside" else card
    args = parsed(f"--b-{name}", *values[name])
    assert getattr(args, name) is None
    assert request(overridden(args, "b-"), card) != request(args, card)


def test_an_override_with_a_value_that_is_false_counts() -> None:
    args = parsed("--rescale", "0.5", "--b-rescale", "0")
    assert overridden(args, "b-").rescale == 0.0


def test_a_word_is_a_class_by_name_else_by_number(card: Card) -> None:
    named = replace(card, conditions=(replace(card.conditions[0], labels=tuple("abcdefghi7")),))
    assert condition_value("c", named) == "c"
    assert condition_value("7", named) == "7"
    assert condition_value("3", named) == 3
    assert condition_value("cow", named) == "cow"
    assert condition_value("-1", card) == -1


def test_a_word_is_a_prompt_where_the_network_takes_text(text_bundle: Path) -> None:
    card = Bundle.open(text_bundle).card
    for text in ("7", "a cat", "", "-1"):
        assert condition_value(text, card) == text

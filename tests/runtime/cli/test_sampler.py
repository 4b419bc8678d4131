"""Options that choose a sampler: what they leave to the card, and what they refuse."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli.sampler import add_options, request
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Condition, Request
from denoisert.runtime.sampling.guidance import CFG, Guidance, Unguided
from denoisert.runtime.sampling.schedules import Karras, Trailing
from denoisert.runtime.sampling.solvers import DDIM, Euler


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
    with pytest.raises(InvalidInput, match="dpmpp_2m"):
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

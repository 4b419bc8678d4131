"""Options anywhere between the words of a verb."""

from __future__ import annotations

import argparse

import pytest

from denoisert.runtime.cli import build_parser, main
from denoisert.runtime.cli.parser import Parser
from tests.runtime.cli.test_bench import STORED


def parsed(*words):
    return build_parser().parse_args(["generate", *words])


@pytest.mark.parametrize(
    "words",
    [
        ("toy", "3", "4", "--steps", "2"),
        ("toy", "--steps", "2", "3", "4"),
        ("toy", "3", "--steps", "2", "4"),
        ("--steps", "2", "toy", "3", "4"),
        ("toy", "--steps=2", "--", "3", "4"),
    ],
    ids=" ".join,
)
def test_every_place_of_an_option_means_the_same(words):
    found = parsed(*words)
    assert (str(found.bundle), found.conditions, found.steps) == ("toy", ["3", "4"], 2)
    assert found.seed == 0
    assert found.func.__module__ == "denoisert.runtime.cli.generate"


def test_an_option_of_several_values_takes_no_word():
    found = parsed("toy", "--interval", "0", "1.5", "3", "--plan", "a red apple")
    assert (found.interval, found.conditions, found.plan) == (
        [0.0, 1.5],
        ["3", "a red apple"],
        True,
    )


def test_negative_numbers_are_words():
    assert parsed("toy", "--plan", "-3").conditions == ["-3"]


def test_verbs_of_verbs_too():
    words = ["solver", "compare", "toy", "--seed", "3", "1", "--samples", "2", "2"]
    found = build_parser().parse_args(words)
    assert (str(found.bundle), found.conditions, found.seed) == ("toy", ["1", "2"], 3)
    compiled = build_parser().parse_args(["compile", "--out", "there", "digits", "--size", "32"])
    assert (str(compiled.model), str(compiled.out)) == ("digits", "there")


def test_no_condition_is_an_empty_list_and_the_bundle_alone_is_missing(capsys):
    assert parsed("toy").conditions == []
    with pytest.raises(SystemExit):
        parsed("--plan")
    assert "are required: BUNDLE\n" in capsys.readouterr().err


def test_an_unknown_option_is_said_beside_its_verb_s_usage(capsys):
    with pytest.raises(SystemExit):
        parsed("toy", "3", "--stepps", "4")
    text = capsys.readouterr().err
    assert text.startswith("usage: denoisert generate ")
    assert "unrecognized arguments: --stepps 4 (did you mean --steps?)" in text
    with pytest.raises(SystemExit):
        parsed("toy", "3", "--zzz")
    assert "(did you mean" not in capsys.readouterr().err


def test_a_parser_can_be_asked_again():
    parser = Parser(exit_on_error=False)
    parser.add_argument("words", nargs="*", default=[])
    parser.add_argument("--number", type=int)
    for _ in range(2):
        found = parser.parse_args(["a", "--number", "3", "b"])
        assert (found.words, found.number) == (["a", "b"], 3)
        with pytest.raises(argparse.ArgumentError):
            parser.parse_args(["--number", "three"])


def test_a_picture_is_made_with_options_in_between(tmp_path, capsys):
    out = tmp_path / "pictures"
    words = ["generate", STORED, "--steps", "2", "1", "--out", out, "2", "--threads", "1"]
    assert main(list(map(str, words))) == 0
    assert sorted(path.name for path in out.iterdir()) == ["1-0-0.png", "2-0-0.png"]

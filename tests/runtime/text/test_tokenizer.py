"""Prompts become token ids of the length that the graph takes."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from denoisert.runtime.bundle.condition import Cleaning
from denoisert.runtime.errors import Incompatible, InvalidInput
from denoisert.runtime.text.tokenizer import Prompt, Tokenizer
from tests.runtime.coders import TEXT, TOKENS, WORDS, tokenizer_json

RED, GREEN, APPLE, UNKNOWN = (WORDS.index(word) for word in ("red", "green", "apple", "[UNK]"))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(tokenizer_json(), TEXT)


def test_start_prompt_end_padding(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("red apple") == Prompt("text_encoder", (1, RED, APPLE, 2, 0, 0), 4)
    assert tokenizer.encode("").token_ids == (1, 2, 0, 0, 0, 0)


@pytest.mark.parametrize(("words", "dropped"), [(3, 0), (4, 0), (5, 1), (40, 36)])
def test_a_long_prompt_is_cut_before_its_end(
    tokenizer: Tokenizer, words: int, dropped: int
) -> None:
    found = tokenizer.encode(" ".join(["red"] * words))
    assert found.dropped == dropped
    kept = min(words, TOKENS - 2)
    assert found.token_ids[: kept + 2] == (1, *([RED] * kept), 2)
    assert found.filled == kept + 2
    assert len(found.token_ids) == TOKENS


@pytest.mark.parametrize("words", [0, 1, 3, 4, 9])
def test_the_mask_is_1_but_for_the_padding(tokenizer: Tokenizer, words: int) -> None:
    found = tokenizer.encode(" ".join(["red"] * words))
    expected = [number != 0 for number in found.token_ids]  # 0 is the padding, and no word
    assert list(found.mask) == expected
    assert len(found.mask) == TOKENS


def test_what_was_cut_off_does_not_make_another_prompt(tokenizer: Tokenizer) -> None:
    short, long = (tokenizer.encode(" ".join(["red"] * n)) for n in (4, 9))
    assert short == long
    assert hash(short) == hash(long)
    assert short.dropped != long.dropped


def test_the_template_stands_around_the_prompt() -> None:
    text = replace(TEXT, template="a {} , of {{}}".replace("{{}}", "pear"))
    found = Tokenizer(tokenizer_json(), text).encode("red")
    assert found.token_ids[1:5] == tuple(WORDS.index(word) for word in ("a", "red", ",", "of"))
    assert found.dropped == 1


@pytest.mark.parametrize(
    "prompt", ["Red APPLE", "  red apple\n", "\u3000\x1cRED\tapple\x1f ", "RED\u2028APPLE"]
)
def test_a_prompt_in_small_letters(tokenizer: Tokenizer, prompt: str) -> None:
    lower = Tokenizer(tokenizer_json(), replace(TEXT, cleaning=Cleaning.LOWER))
    assert lower.encode(prompt) == tokenizer.encode("red apple")


def test_small_letters_are_those_of_the_whole_text() -> None:
    """A sigma that ends a word becomes another letter than one inside."""
    small, other = "\u03c3\u03b1\u03c2", "\u03c3\u03b1\u03c3"
    text = replace(TEXT, cleaning=Cleaning.LOWER, template="A {}")
    found = Tokenizer(tokenizer_json((*WORDS, small, other)), text).encode(" \u03a3\u0391\u03a3")
    assert found.token_ids[1:3] == (UNKNOWN, len(WORDS))  # the template stays as it is


def test_braces_in_a_prompt_are_just_text() -> None:
    found = Tokenizer(tokenizer_json((*WORDS, "{}")), TEXT).encode("{} red {0}")
    assert found.token_ids[1] == len(WORDS)


def test_special_tokens_length_and_padding_of_the_file_change_nothing(
    tokenizer: Tokenizer,
) -> None:
    plain = json.loads(tokenizer_json())
    plain["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    plain["padding"] = {
        "strategy": {"Fixed": 50},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 3,
        "pad_type_id": 0,
        "pad_token": "[UNK]",
    }
    plain["post_processor"] = {"type": "BertProcessing", "sep": ["[END]", 2], "cls": ["[START]", 1]}
    loud = Tokenizer(json.dumps(plain).encode(), TEXT)
    for prompt in ("red", "red apple of pear", "red " * 9):
        assert loud.encode(prompt) == tokenizer.encode(prompt)


def test_a_path_is_as_good_as_bytes(tokenizer: Tokenizer, tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer_json())
    assert Tokenizer(path, TEXT).encode("green") == tokenizer.encode("green")


@pytest.mark.parametrize("source", [b"", b"{}", b"\xff\xfe", b"[1, 2", tokenizer_json()[:-9]])
def test_a_damaged_tokenizer_is_named(source: bytes) -> None:
    with pytest.raises(Incompatible, match=r"tokenizers/text_encoder\.json"):
        Tokenizer(source, TEXT)


@pytest.mark.parametrize(
    "prompt",
    ["\0", "red \0 apple", "e" + "\u0301" * 10_000, "\U0001f34e" * 50, "\ufeffred", " \t\n"],
)
def test_strange_text_is_text(tokenizer: Tokenizer, prompt: str) -> None:
    assert len(tokenizer.encode(prompt).token_ids) == TOKENS


def test_a_hundred_thousand_characters(tokenizer: Tokenizer) -> None:
    found = tokenizer.encode("red " * 25_000)
    assert found.dropped == 25_000 - (TOKENS - 2)
    assert tokenizer.encode("x" * 100_000).token_ids[1] == UNKNOWN


@pytest.mark.parametrize("prompt", ["\ud800", "red \udfff apple", "\udc00\ud800"])
def test_lone_surrogates_are_refused_without_quoting_the_prompt(
    tokenizer: Tokenizer, prompt: str
) -> None:
    with pytest.raises(InvalidInput, match="surrogate") as caught:
        tokenizer.encode(prompt)
    assert "apple" not in str(caught.value)


@pytest.mark.parametrize("prompt", [None, 3, b"red", ["red"], np.float32(1)])
def test_only_text_is_a_prompt(tokenizer: Tokenizer, prompt: object) -> None:
    with pytest.raises(InvalidInput, match="must be text"):
        tokenizer.encode(prompt)  # type: ignore[arg-type]


def test_threads_share_a_tokenizer(tokenizer: Tokenizer) -> None:
    prompts = [" ".join(np.random.default_rng(n).choice(WORDS[4:], n % 7)) for n in range(200)]
    expected = [tokenizer.encode(prompt) for prompt in prompts]
    found: list[list[Prompt]] = []
    threads = [
        threading.Thread(target=lambda: found.append([tokenizer.encode(p) for p in prompts]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_other_threads_run_while_a_long_prompt_is_tokenised(tokenizer: Tokenizer) -> None:
    """Another thread's longest pause is a small part of the call, not all of it."""
    pauses, stopped = [0.0], threading.Event()

    def beat() -> None:
        last = perf_counter()
        while not stopped.is_set():
            now = perf_counter()
            pauses[0] = max(pauses[0], now - last)
            last = now

    thread = threading.Thread(target=beat)
    thread.start()
    start = perf_counter()
    found = tokenizer.encode("red apple, " * 90_000)
    whole = perf_counter() - start
    stopped.set()
    thread.join()
    assert found.dropped == 3 * 90_000 - (TOKENS - 2)
    assert pauses[0] < whole / 2

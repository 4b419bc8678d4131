"""The tokenizer: its merges, its files, and the same ids as transformers' reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from denoisert.export.zoo.emoji.architecture import MERGES, TOKENS
from denoisert.export.zoo.emoji.data import load_glyphs
from denoisert.export.zoo.emoji.tokenizer import (
    END,
    START,
    WORD_END,
    Vocabulary,
    byte_letters,
    encode,
    learn,
    merge_pair,
    write,
)

CAPTIONS = [glyph.caption for glyph in load_glyphs()]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return learn(CAPTIONS, MERGES)


@pytest.fixture(scope="module")
def reader(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write(vocabulary, folder, TOKENS)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def read(reader: CLIPTokenizer, text: str) -> list[int]:
    ids = reader(text, padding="max_length", max_length=TOKENS, truncation=True).input_ids
    return list(ids)


class TestLearning:
    def test_the_most_frequent_pair_is_merged_first(self):
        learnt = learn(["low low low lot"], 2)
        assert learnt.merges == (("l", "o"), ("lo", "w</w>"))

    def test_of_equally_frequent_pairs_the_first_in_the_alphabet_wins(self):
        assert learn(["ba ab"], 1).merges == (("a", "b</w>"),)

    def test_it_ends_when_every_word_is_one_token(self):
        learnt = learn(["ab"], 100)
        assert learnt.merges == (("a", "b</w>"),)
        assert learnt.tokens[-3:] == ("ab</w>", START, END)

    def test_every_word_of_a_caption_is_one_token(self, vocabulary):
        longest = max(len(caption.replace("-", " - ").split()) for caption in CAPTIONS)
        assert longest <= TOKENS - 2
        assert "beverage" + WORD_END in vocabulary.tokens

    def test_all_bytes_are_tokens_with_and_without_the_end_mark(self, vocabulary):
        letters = byte_letters()
        assert len(set(letters)) == 256
        assert set(letters) <= set(vocabulary.tokens)
        assert {letter + WORD_END for letter in letters} <= set(vocabulary.tokens)

    def test_no_token_is_there_twice(self, vocabulary):
        assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)

    def test_learning_twice_gives_the_same(self, vocabulary):
        assert learn(CAPTIONS, MERGES) == vocabulary


class TestMerging:
    def test_all_occurrences_are_joined_from_the_left(self):
        assert merge_pair(("a", "a", "a", "b"), ("a", "a")) == ("aa", "a", "b")
        assert merge_pair(("a", "b", "a", "b"), ("a", "b")) == ("ab", "ab")

    def test_a_word_without_the_pair_stays(self):
        assert merge_pair(("x", "y"), ("a", "b")) == ("x", "y")


class TestEncoding:
    def test_every_caption_has_the_ids_that_transformers_reads(self, vocabulary, reader):
        for caption in (*CAPTIONS, "", "a red cat on 42 wheels!"):
            assert encode(caption, vocabulary, TOKENS) == read(reader, caption), caption

    def test_the_empty_caption_is_the_marks_alone(self, vocabulary):
        size = len(vocabulary.tokens)
        assert encode("", vocabulary, 4) == [size - 2, size - 1, size - 1, size - 1]

    def test_what_does_not_fit_is_cut_before_the_end_mark(self, vocabulary):
        ids = encode("cat " * 40, vocabulary, TOKENS)
        assert len(ids) == TOKENS
        assert ids[-1] == len(vocabulary.tokens) - 1
        assert len(set(ids[1:-1])) == 1

    def test_different_captions_have_different_ids(self, vocabulary):
        rows = {tuple(encode(caption, vocabulary, TOKENS)) for caption in CAPTIONS}
        assert len(rows) == len(CAPTIONS)

    @pytest.mark.parametrize("text", ["Ünïcödé 茶 😀", "\u0000\u0007", "HOT Beverage", "½ ﬁ Ω"])
    def test_any_string_has_tokens_and_none_is_unknown(self, reader, vocabulary, text):
        ids = reader(text, add_special_tokens=False).input_ids
        assert ids
        assert max(ids) < len(vocabulary.tokens) - 2

    def test_capitals_read_as_small_letters(self, reader):
        assert read(reader, "HOT Beverage") == read(reader, "hot beverage")


class TestFiles:
    def test_the_four_usual_files_are_written(self, vocabulary, tmp_path: Path):
        write(vocabulary, tmp_path, TOKENS)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "merges.txt",
            "special_tokens_map.json",
            "tokenizer_config.json",
            "vocab.json",
        ]
        config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
        assert config["model_max_length"] == TOKENS
        assert config["tokenizer_class"] == "CLIPTokenizer"
        lines = (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("#version")
        assert len(lines) == 1 + len(vocabulary.merges)

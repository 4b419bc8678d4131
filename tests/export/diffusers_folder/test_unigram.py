"""Our T5 tokenizer equals transformers' own in every layout of a folder, and broken ones."""

import importlib
import json

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import T5Tokenizer

from denoisert.export.sources.diffusers.tokens import MOST_TOKENS
from denoisert.export.sources.diffusers.unigram import read_unigram
from tests.export.diffusers_folder.clip import dump
from tests.export.diffusers_folder.t5 import (
    END,
    FOLDED,
    PAD,
    SENTINELS,
    SPECIAL_MAP,
    UNKNOWN,
    WRITERS,
    strings,
    token,
    train,
    write_spiece,
    write_whole,
)

ADDED = "added_tokens.json"
EXTRA = ["<cat>", "a <cat> b", "zz fuzzz", "a <cat><cat>", "<extra_id_7> <extra_id_7>", "apple zz"]


@pytest.fixture(scope="module")
def pieces():
    return train()


@pytest.fixture(autouse=True)
def reads_without_sentencepiece(monkeypatch):
    """transformers asks for sentencepiece, and then reads the file with protobuf alone."""
    converter = importlib.import_module("transformers.convert_slow_tokenizer")
    monkeypatch.setattr(converter, "requires_backends", lambda *_: None)


def assert_equal(folder, texts):
    tokens = read_unigram(folder)
    theirs = T5Tokenizer.from_pretrained(folder)
    ours = Tokenizer.from_str(tokens.json.decode("utf-8"))
    wrong = [
        text
        for text in texts
        if ours.encode(text, add_special_tokens=False).ids
        != theirs(text, add_special_tokens=False, verbose=False).input_ids
    ]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first {wrong[0]!r}"
    assert (tokens.size, tokens.start) == (len(theirs), ())
    assert (tokens.end, tokens.pad) == ((theirs.eos_token_id,), theirs.pad_token_id)
    return tokens, theirs


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("form", WRITERS)
def test_a_thousand_strings(tmp_path, pieces, form, seed):
    folder = WRITERS[form](tmp_path / "model" / "tokenizer", pieces)
    tokens, theirs = assert_equal(folder, strings(seed, 1000))
    assert (tokens.end, tokens.pad, tokens.size) == ((1,), 0, len(pieces) + len(SENTINELS))
    ids = theirs(f"red{END}{PAD} <extra_id_0>", add_special_tokens=False).input_ids
    assert ids[-3:] == [1, 0, tokens.size - 1]  # cut out, not spelled


def test_both_forms_of_one_tokenizer_are_one_model(tmp_path, pieces):
    exact = [(text, float(np.float32(score))) for text, score in pieces]  # as protobuf keeps it
    one, two = (
        json.loads(read_unigram(write(tmp_path / form / "tokenizer", exact)).json)
        for form, write in WRITERS.items()
    )
    assert one["model"] == two["model"]
    assert one["normalizer"] == two["normalizer"]


def test_the_normaliser_matters(tmp_path, pieces):
    folded = read_unigram(write_whole(tmp_path / "a" / "tokenizer", pieces))
    plain = read_unigram(write_whole(tmp_path / "b" / "tokenizer", pieces, {"q": "r"}))
    one, two = (Tokenizer.from_str(tokens.json.decode()) for tokens in (folded, plain))
    assert one.encode("\uff21 ﬁ").ids != two.encode("\uff21 ﬁ").ids
    assert one.encode("red").ids == two.encode("red").ids
    assert two.encode("qed").ids == one.encode("red").ids


def test_a_hundred_thousand_characters(tmp_path, pieces):
    folder = write_whole(tmp_path / "tokenizer", pieces)
    long = ["red apple " * 10_000, "😀" * 25_000, " " * 100_000, END * 10_000, "a" * 5000]
    assert_equal(folder, long)


def decoder(size, **flags):
    """added_tokens_decoder as published folders have it: the three, and sentinels that strip."""
    named = {str(n): token(text) for n, text in enumerate((PAD, END, UNKNOWN))}
    places = {str(size + 99 - n): token(text, **flags) for n, text in enumerate(SENTINELS)}
    return named | places


# Name -> (tokenizer_config.json, further files), made for a number of trained pieces.
FOLDERS = {
    "as stable diffusion 3": lambda n: (
        {"added_tokens_decoder": decoder(n), "additional_special_tokens": SENTINELS}
        | {"eos_token": END, "pad_token": PAD, "unk_token": UNKNOWN, "extra_ids": 100}
        | {"legacy": True, "add_prefix_space": True, "clean_up_tokenization_spaces": True},
        {SPECIAL_MAP: {"additional_special_tokens": SENTINELS, "eos_token": token(END)}},
    ),
    "as pixart": lambda n: (
        {"additional_special_tokens": SENTINELS, "legacy": False, "extra_ids": 100}
        | {"added_tokens_decoder": decoder(n, lstrip=True, rstrip=True), "sp_model_kwargs": {}},
        {ADDED: {text: n + 99 - k for k, text in enumerate(SENTINELS)}},
    ),
    "without a decoder": lambda n: (
        {"extra_ids": 100, "model_max_length": 512},
        {
            SPECIAL_MAP: {"additional_special_tokens": SENTINELS, "eos_token": token(END)},
            ADDED: {text: n + 99 - k for k, text in enumerate(SENTINELS)},
        },
    ),
    "the newer key": lambda _: ({"extra_special_tokens": [*SENTINELS, "<cat>"]}, {}),
    "a further token": lambda n: (
        {
            "added_tokens_decoder": decoder(n)
            | {str(n + 100): token("<cat>", special=False, normalized=True)}
        },
        {},
    ),
    "an empty list": lambda _: ({"additional_special_tokens": []}, {}),
    "no list": lambda _: ({"additional_special_tokens": None}, {}),
    "a list of others": lambda _: ({}, {SPECIAL_MAP: {"additional_special_tokens": ["<cat>"]}}),
    "fewer sentinels listed": lambda _: ({"additional_special_tokens": SENTINELS[:4]}, {}),
    "a new padding": lambda _: ({"pad_token": "zz"}, {}),
    "objects": lambda _: (
        {"eos_token": {"__type": "AddedToken"} | token(END, lstrip=True), "pad_token": PAD},
        {SPECIAL_MAP: {"pad_token": token(PAD, rstrip=True), "extra_special_tokens": ["<cat>"]}},
    ),
}


@pytest.mark.parametrize("form", [*WRITERS, "as transformers saves it"])
@pytest.mark.parametrize("name", FOLDERS)
def test_every_kind_of_folder(tmp_path, pieces, name, form):
    config, files = FOLDERS[name](len(pieces))
    write = WRITERS.get(form, write_whole)
    folder = write(tmp_path / "model" / "tokenizer", pieces, **config)
    for file, content in files.items():
        dump(folder / file, content)
    if form not in WRITERS:
        reference = T5Tokenizer.from_pretrained(folder)
        folder = tmp_path / "saved" / "tokenizer"
        reference.save_pretrained(folder)
    assert_equal(folder, [*strings(5, 200), *EXTRA])


def test_pieces_that_a_sentencepiece_file_marks(tmp_path, pieces):
    marked = [*pieces, ("zz", -1.0), ("<ctl>", 0.0)]
    folder = write_spiece(tmp_path / "tokenizer", marked, kinds={"zz": 4, "<ctl>": 3})
    tokens, theirs = assert_equal(folder, [*strings(6, 200), *EXTRA, "fuzzz", "a<ctl>b"])
    assert theirs("fuzzz", add_special_tokens=False).input_ids.count(len(pieces)) == 1
    assert tokens.size == len(marked) + len(SENTINELS)


def test_fewer_sentinels(tmp_path, pieces):
    folder = write_spiece(tmp_path / "tokenizer", pieces, extra_ids=3)
    assert assert_equal(folder, strings(7, 100))[0].size == len(pieces) + 3


@pytest.mark.parametrize(
    ("stated", "length"), [(512, 512), (77, 77), (None, MOST_TOKENS), (10**30, MOST_TOKENS)]
)
def test_the_length_is_only_what_the_folder_says(tmp_path, pieces, stated, length):
    config = {} if stated is None else {"model_max_length": stated}
    folder = write_whole(tmp_path / "tokenizer", pieces, **config)
    assert read_unigram(folder).length == length


def test_a_folder_without_any_normaliser(tmp_path, pieces):
    assert_equal(write_spiece(tmp_path / "tokenizer", pieces, folded=None), strings(8, 200))


def test_the_charsmap_folds_what_it_says(tmp_path, pieces):
    """The double array is ours, so what the library reads in it is checked by itself."""
    tokens = read_unigram(write_whole(tmp_path / "tokenizer", pieces))
    normalizer = Tokenizer.from_str(tokens.json.decode()).normalizer
    for text, folded in FOLDED.items():
        assert normalizer.normalize_str(f"x{text}y") == f"x{folded}y"

"""Our T5 tokenizer equals transformers' own in every layout of a folder, and broken ones."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import T5Tokenizer, convert_slow_tokenizer

from denoisert.export.sources.diffusers.tokens import MOST_TOKENS
from denoisert.export.sources.diffusers.unigram import read_unigram
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.clip import dump
from tests.export.diffusers_folder.t5 import (
    END,
    FOLDED,
    PAD,
    SENTINELS,
    UNKNOWN,
    charsmap,
    encoded,
    strings,
    train,
    write_spiece,
    write_whole,
)

WRITERS = {"one file": write_whole, "sentencepiece": write_spiece}
SPECIAL_MAP, ADDED = "special_tokens_map.json", "added_tokens.json"
EXTRA = ["<cat>", "a <cat> b", "zz fuzzz", "a <cat><cat>", "<extra_id_7> <extra_id_7>", "apple zz"]


@pytest.fixture(scope="module")
def pieces():
    return train()


@pytest.fixture(autouse=True)
def reads_without_sentencepiece(monkeypatch):
    """transformers asks for sentencepiece, and then reads the file with protobuf alone."""
    monkeypatch.setattr(convert_slow_tokenizer, "requires_backends", lambda *_: None)


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


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False} | {
        "single_word": False,
        "special": True,
        **flags,
    }


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


def refused(folder, *reasons):
    with pytest.raises(ExportError) as caught:
        read_unigram(folder)
    message = str(caught.value)
    assert all(reason in message for reason in reasons), message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"padding_side": "left"}, "padding_side 'left'"),
        ({"truncation_side": "left"}, "truncation_side 'left'"),
        ({"split_special_tokens": True}, "'split_special_tokens'"),
        ({"bos_token": "<s>"}, "'bos_token' = '<s>'"),
        ({"unk_token": "<what>"}, "piece 2 is '<unk>'"),
        ({"extra_ids": -1}, "extra_ids is -1"),
        ({"extra_ids": "100"}, "extra_ids is '100'"),
        ({"extra_special_tokens": {"image": "<i>"}}, "stand in a list"),
        ({"extra_special_tokens": ["a\nb"]}, "a special token is a printable text"),
        ({"added_tokens_decoder": {"7": token("<new>")}}, "should have id 7"),
    ],
)
@pytest.mark.parametrize("form", WRITERS)
def test_a_configuration_that_cannot_be(tmp_path, pieces, form, config, reason):
    refused(WRITERS[form](tmp_path / "tokenizer", pieces, **config), reason)


def test_two_numbers_of_sentinels(tmp_path, pieces):
    folder = write_whole(tmp_path / "tokenizer", pieces, extra_ids=9)
    dump(folder / SPECIAL_MAP, {"additional_special_tokens": SENTINELS[:5]})
    refused(folder, "lists 5 tokens", "extra_ids is 9")
    with pytest.raises(ValueError, match="extra_ids"):
        T5Tokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "BPE"}, "model of type 'BPE'"),
        ({"unk_id": 0}, "piece 0 stands for what is unknown"),
        ({"unk_id": None}, "piece None stands"),
        ({"vocab": {"a": 0}}, "must list pieces"),
        ({"vocab": [["a", 0.0], ["b"]]}, "the piece ['b']"),
        ({"vocab": [["a", "0"]]}, "a piece is a text and a number"),
        ({"vocab": [["a", 0.0], ["a", 1.0]]}, "each once"),
        ({"vocab": [["", 0.0]]}, "pieces are texts"),
        ({"vocab": [["a", 0.0], ["b", 0.0]]}, "has 2 pieces"),
    ],
)
def test_a_whole_file_that_cannot_be(tmp_path, pieces, change, reason):
    folder = write_whole(tmp_path / "tokenizer", pieces)
    whole = json.loads((folder / "tokenizer.json").read_text())
    dump(folder / "tokenizer.json", whole | {"model": whole["model"] | change})
    refused(folder, reason)


@pytest.mark.parametrize("part", ["padding", "truncation"])
def test_a_whole_file_that_works_on_the_left(tmp_path, pieces, part):
    folder = write_whole(tmp_path / "tokenizer", pieces)
    whole = json.loads((folder / "tokenizer.json").read_text())
    dump(folder / "tokenizer.json", whole | {part: {"direction": "Left"}})
    refused(folder, f"{part}_side 'Left'")
    dump(folder / "tokenizer_config.json", {f"{part}_side": "right"})  # which counts before
    assert read_unigram(folder).pad == 0


def lying():
    """A compiled normaliser whose first unit leads out of the array."""
    content = bytearray(charsmap({"a": "b"}))
    content[4:8] = (0x3FFFF << 10).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("content", ["?", encoded(b"abc"), encoded(lying()), 3])
def test_a_broken_normaliser(tmp_path, pieces, content, capfd):
    folder = write_whole(tmp_path / "tokenizer", pieces)
    whole = json.loads((folder / "tokenizer.json").read_text())
    whole["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": content}
    dump(folder / "tokenizer.json", whole)
    refused(folder, "normaliser" if isinstance(content, str) and content != "?" else "base64")
    capfd.readouterr()  # the library says where it panicked


def test_a_broken_sentencepiece_file(tmp_path, pieces):
    folder = write_spiece(tmp_path / "tokenizer", pieces)
    path = folder / "spiece.model"
    whole = path.read_bytes()
    for content in (whole[:-7], b"version https://git-lfs.github.com/spec/v1\n", b"\xff" * 64):
        path.write_bytes(content)
        refused(folder, "spiece.model is no sentencepiece file")
    path.write_bytes(b"")
    refused(folder, "spiece.model says that piece 0")
    path.unlink()
    refused(folder, "needs tokenizer.json or spiece.model", "found tokenizer_config.json")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("model_type", 2, "model_type 2"), ("byte_fallback", True, "byte_fallback True")],
)
def test_another_kind_of_sentencepiece_file(tmp_path, pieces, field, value, reason):
    folder = write_spiece(tmp_path / "tokenizer", pieces)
    model = convert_slow_tokenizer.import_protobuf().ModelProto()
    model.ParseFromString((folder / "spiece.model").read_bytes())
    setattr(model.trainer_spec, field, value)
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    refused(folder, reason)


def test_a_folder_without_any_normaliser(tmp_path, pieces):
    assert_equal(write_spiece(tmp_path / "tokenizer", pieces, folded=None), strings(8, 200))


def test_the_charsmap_folds_what_it_says(tmp_path, pieces):
    """The double array is ours, so what the library reads in it is checked by itself."""
    tokens = read_unigram(write_whole(tmp_path / "tokenizer", pieces))
    normalizer = Tokenizer.from_str(tokens.json.decode()).normalizer
    for text, folded in FOLDED.items():
        assert normalizer.normalize_str(f"x{text}y") == f"x{folded}y"

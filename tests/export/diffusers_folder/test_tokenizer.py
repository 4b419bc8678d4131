"""Our tokenizer equals transformers' own and the slow algorithm on a thousand strings."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import CLIPTokenizer

from denoisert.export.sources.diffusers.tokenizer import read_tokenizer
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.clip import (
    END,
    START,
    SlowTokenizer,
    dump,
    letters,
    strings,
    train,
    write_files,
)

SEED, COUNT = 20261123, 1000
EXTRA = ["<apple>", "a <apple> b", "appla", "appla applan", "xyz <cat>", "zz fuzzz ZZ", "a ! b!!"]


@pytest.fixture(scope="module")
def trained():
    return train()


@pytest.fixture(scope="module")
def complete(trained):
    """The trained vocabulary with every byte, inside a word and at its end, as CLIP's own has."""
    ids, merges = trained
    pieces = [*letters().values(), *(f"{letter}</w>" for letter in letters().values())]
    added = [piece for piece in pieces if piece not in ids]
    return ids | {piece: len(ids) + n for n, piece in enumerate(added)}, merges


def ours(tokens: Tokens):
    tokenizer = Tokenizer.from_str(tokens.json.decode("utf-8"))
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def theirs(folder):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return lambda text: tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def assert_equal(found, expected, texts):
    wrong = [text for text in texts if found(text) != expected(text)]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first {wrong[0]!r}"


@pytest.mark.parametrize("name", ["trained", "complete"])
def test_a_thousand_strings(tmp_path, name, request):
    ids, merges = request.getfixturevalue(name)
    folder = write_files(tmp_path / "tokenizer", ids, merges)
    found, texts = ours(read_tokenizer(folder)), strings(SEED, COUNT)
    assert len(set(texts)) > COUNT / 2
    assert_equal(found, theirs(folder), texts)
    assert_equal(found, SlowTokenizer(ids, merges).encode, texts)
    unknown = sum(ids[END] in found(text.replace(END, "")) for text in texts)
    assert (unknown > 0) == (name == "trained")  # a complete one knows every byte


def test_a_hundred_thousand_characters(tmp_path, complete):
    folder = write_files(tmp_path / "tokenizer", *complete)
    found, expected = ours(read_tokenizer(folder)), theirs(folder)
    long = ["red apple " * 10_000, "a" * 100_000, "e" + "\u0301" * 99_999, "\0" * 100_000]
    assert_equal(found, expected, [*long, "😀" * 25_000, " " * 100_000, END * 10_000])
    assert len(found(END * 10_000)) == 10_000


def test_the_slow_algorithm_can_tell_a_difference(complete):
    """Each step left out changes ids, so equality above means something."""
    ids, merges = complete
    slow = SlowTokenizer(ids, merges)
    assert slow.encode("Apple") == slow.encode("apple") != SlowTokenizer(ids, []).encode("apple")
    assert slow.encode("cafe\u0301") == slow.encode("café")
    assert slow.encode("a \t b") == slow.encode("a b")
    assert slow.encode("12") == [ids["1</w>"], ids["2</w>"]]
    assert slow.encode(f"x{END}") == [ids["x</w>"], ids[END]]
    assert slow.encode("<|ENDOFTEXT|>") != slow.encode(END)


def test_numbers_and_places(tmp_path, complete):
    ids, merges = complete
    tokens = read_tokenizer(write_files(tmp_path / "tokenizer", ids, merges, model_max_length=16))
    assert (tokens.length, tokens.size) == (16, len(ids))
    assert (tokens.start, tokens.end, tokens.pad) == ((ids[START],), (ids[END],), ids[END])
    plain = json.loads(tokens.json)
    assert plain["truncation"] is plain["padding"] is plain["post_processor"] is None


def test_the_same_folder_gives_the_same_bytes(tmp_path, trained):
    ids, merges = trained
    shuffled = dict(sorted(ids.items(), key=lambda item: item[0][::-1]))
    one = read_tokenizer(write_files(tmp_path / "a" / "tokenizer", ids, merges))
    two = read_tokenizer(write_files(tmp_path / "b" / "tokenizer", shuffled, merges))
    assert one == two


def token(content, **flags):
    plain = {"content": content, "lstrip": False, "normalized": True, "rstrip": False}
    return plain | {"single_word": False} | flags


def typed(content, **flags):
    return {"__type": "AddedToken"} | token(content, **flags)


SPECIAL_MAP, ADDED = "special_tokens_map.json", "added_tokens.json"
# Name -> tokenizer_config.json and further files; n is the size of the vocabulary.
FOLDERS = {
    "sd-1": (
        {"bos_token": typed(START), "eos_token": typed(END), "unk_token": typed(END)}
        | {"pad_token": END, "do_lower_case": True, "errors": "replace", "add_prefix_space": False},
        {
            SPECIAL_MAP: {"bos_token": token(START), "eos_token": token(END)}
            | {"unk_token": token(END), "pad_token": END}
        },
    ),
    "sd-2": (
        {"bos_token": typed(START), "eos_token": typed(END), "unk_token": typed(END)},
        {SPECIAL_MAP: {"eos_token": token(END), "unk_token": token(END), "pad_token": "!"}},
    ),
    "decoder": (
        {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": "!"}
        | {
            "added_tokens_decoder": {"n": token("<apple>", lstrip=True, rstrip=True, special=False)}
        },
        {SPECIAL_MAP: {"eos_token": token("not read beside added_tokens_decoder")}},
    ),
    "whole words": (
        {"added_tokens_decoder": {"n": token("appla", single_word=True, normalized=False)}},
        {},
    ),
    "old additions": ({}, {ADDED: {"<cat>": "n", "xyz": "n+1"}}),
    "pad beyond": ({"bos_token": typed(START, normalized=False), "pad_token": typed("zz")}, {}),
    "map without flags": ({}, {SPECIAL_MAP: {"bos_token": {"content": START}, "eos_token": END}}),
    "two that differ": (
        {},
        {SPECIAL_MAP: {"eos_token": token(END), "unk_token": token(END, normalized=False)}},
    ),
    "text between": ({"eos_token": END, "unk_token": typed(END), "pad_token": END}, {}),
    "all one": (
        {"bos_token": typed(END, rstrip=True), "eos_token": typed(END), "unk_token": typed(END)}
        | {"pad_token": typed(END, lstrip=True, rstrip=True)},
        {},
    ),
}


def numbered(value, size):
    """The value with "n" and "n+1" as ids."""
    if isinstance(value, dict):
        names = {"n": str(size)}
        return {names.get(key, key): numbered(item, size) for key, item in value.items()}
    return {"n": size, "n+1": size + 1}.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("form", ["as published", "as transformers saves it"])
@pytest.mark.parametrize("name", FOLDERS)
def test_special_tokens_of_every_kind_of_folder(tmp_path, complete, name, form):
    ids, merges = complete
    config, files = FOLDERS[name]
    folder = tmp_path / "model" / "tokenizer"
    write_files(folder, ids, merges, **numbered(config, len(ids)))
    for file, content in files.items():
        dump(folder / file, numbered(content, len(ids)))
    reference = CLIPTokenizer.from_pretrained(folder)
    if form != "as published":
        folder = tmp_path / "saved" / "tokenizer"
        reference.save_pretrained(folder)
        reference = CLIPTokenizer.from_pretrained(folder)
    tokens = read_tokenizer(folder)
    assert_equal(ours(tokens), theirs(folder), [*strings(SEED + 1, 150), *EXTRA])
    assert tokens.start == (reference.bos_token_id,)
    assert tokens.end == (reference.eos_token_id,)
    assert (tokens.pad, tokens.size) == (reference.pad_token_id, len(reference))


def refused(folder, *reasons):
    with pytest.raises(ExportError) as caught:
        read_tokenizer(folder)
    message = str(caught.value)
    assert all(reason in message for reason in reasons), message
    assert len(message) < 500


@pytest.mark.parametrize("length", [None, 2, 0, -1, True, 77.0, "77", 10**30, 4097])
def test_a_length_that_cannot_be(tmp_path, trained, length):
    folder = write_files(tmp_path / "tokenizer", *trained, model_max_length=length)
    refused(folder, "model_max_length", "usually 77")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"sep_token": "x"}, "'sep_token' = 'x'"),
        ({"image_token": typed("<i>")}, "'image_token'"),
        ({"extra_special_tokens": ["<a>"]}, "'extra_special_tokens'"),
        ({"additional_special_tokens": ["<a>"]}, "'additional_special_tokens'"),
        ({"split_special_tokens": True}, "'split_special_tokens'"),
        ({"bos_token": 3}, "a special token is a printable text"),
        ({"bos_token": ["a"]}, "a special token is a printable text"),
        ({"bos_token": {"content": "a\nb"}}, "a special token is a printable text"),
        ({"bos_token": {"content": "a", "flavour": 1}}, "known are content"),
        ({"bos_token": {"content": "a", "lstrip": "yes"}}, "known are content"),
        ({"unk_token": "<unknown>"}, "'<unknown>' is no piece of the vocabulary"),
        ({"added_tokens_decoder": ["a"]}, "must be an object"),
        ({"added_tokens_decoder": {"x": token("a")}}, "ids are whole numbers"),
        ({"added_tokens_decoder": {"-1": token("a")}}, "ids are whole numbers"),
        ({"added_tokens_decoder": {"9999": token("<new>")}}, "should have id 9999"),
        ({"added_tokens_decoder": {"7": token(END)}}, "should have id 7"),
    ],
)
def test_special_tokens_that_cannot_be(tmp_path, trained, config, reason):
    refused(write_files(tmp_path / "tokenizer", *trained, **config), reason)


@pytest.mark.parametrize("entries", [{"a": 1}, ["a"], "a"])
def test_added_tokens_of_a_whole_file_must_be_objects(tmp_path, trained, entries):
    ids, merges = trained
    folder = write_files(tmp_path / "tokenizer", ids, merges)
    model = {"type": "BPE", "vocab": ids, "merges": merges}
    dump(folder / "tokenizer.json", {"model": model, "added_tokens": entries})
    refused(folder, "added_tokens", "must be objects")


def test_a_missing_configuration(tmp_path, trained):
    folder = write_files(tmp_path / "tokenizer", *trained)
    (folder / "tokenizer_config.json").unlink()
    refused(folder, "tokenizer/tokenizer_config.json cannot be read")


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", SPECIAL_MAP, ADDED, "tokenizer.json"])
def test_no_file_may_be_a_link_out(tmp_path, trained, name):
    folder = write_files(tmp_path / "model" / "tokenizer", *trained)
    (tmp_path / "secret").write_text("{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "secret")
    refused(folder, f"tokenizer/{name} is a link out of the folder")

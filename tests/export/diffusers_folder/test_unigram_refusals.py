"""T5 tokenizers of broken folders: an error that names file, field and remedy."""

import json

import pytest
from transformers import T5Tokenizer
from transformers.convert_slow_tokenizer import import_protobuf

from denoisert.export.sources.diffusers.unigram import read_unigram
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.clip import dump
from tests.export.diffusers_folder.t5 import (
    SENTINELS,
    SPECIAL_MAP,
    WRITERS,
    encoded,
    token,
    train,
    write_spiece,
    write_whole,
)


@pytest.fixture(scope="module")
def pieces():
    return train()


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


@pytest.mark.parametrize(
    ("content", "reason"),
    [("?", "no base64"), (3, "no base64"), (encoded(b"abc"), "normaliser, 3 bytes, is broken")],
)
def test_a_broken_normaliser(tmp_path, pieces, content, reason):
    folder = write_whole(tmp_path / "tokenizer", pieces)
    whole = json.loads((folder / "tokenizer.json").read_text())
    whole["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": content}
    dump(folder / "tokenizer.json", whole)
    refused(folder, reason)


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
    model = import_protobuf().ModelProto()
    model.ParseFromString((folder / "spiece.model").read_bytes())
    setattr(model.trainer_spec, field, value)
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    refused(folder, reason)

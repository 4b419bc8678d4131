"""Vocabulary and merges from both forms, and every way in which they can be broken."""

import pytest

from denoisert.export.sources.diffusers.vocabulary import VOCABULARY_BYTES, read_vocabulary
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.clip import dump

IDS = {"a": 0, "b</w>": 1, "ab</w>": 2, "c": 3, "ca": 4}
MERGES = [("a", "b</w>"), ("c", "a")]


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model" / "tokenizer"
    found.mkdir(parents=True)
    return found


def write_pair(folder, ids=None, text="#version: 0.2\na b</w>\nc a\n"):
    dump(folder / "vocab.json", IDS if ids is None else ids)
    (folder / "merges.txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))


def write_whole(folder, **model):
    dump(
        folder / "tokenizer.json",
        {"model": {"type": "BPE", "vocab": IDS, "merges": MERGES} | model},
    )


def refused(folder, *reasons):
    with pytest.raises(ExportError) as caught:
        read_vocabulary(folder)
    message = str(caught.value)
    assert all(reason in message for reason in reasons), message
    assert len(message) < 400


@pytest.mark.parametrize(
    "text",
    [
        "#version: 0.2\na b</w>\nc a\n",
        "a b</w>\nc a",
        "#version: 0.2 - Trained by `huggingface/tokenizers`\r\na b</w>\r\nc a\r\n",
        "\na b</w>\n\nc a\n\n",
    ],
)
def test_two_files(folder, text):
    write_pair(folder, text=text)
    found = read_vocabulary(folder)
    assert found.ids == IDS
    assert found.merges == MERGES


@pytest.mark.parametrize("merges", [MERGES, [list(pair) for pair in MERGES], ["a b</w>", "c a"]])
def test_one_file(folder, merges):
    write_whole(folder, merges=merges)
    found = read_vocabulary(folder)
    assert (found.ids, found.merges) == (IDS, MERGES)


def test_one_file_beside_two_that_agree(folder):
    write_pair(folder)
    write_whole(folder, merges=MERGES[:1])
    assert read_vocabulary(folder).merges == MERGES[:1]  # libraries prefer the one file


def test_one_file_beside_two_that_differ(folder):
    write_pair(folder, IDS | {"d": 5})
    write_whole(folder)
    refused(folder, "vocab.json has 6 pieces and tokenizer.json 5", "Delete the one")


def test_nothing(folder):
    refused(folder, "needs vocab.json and merges.txt, or tokenizer.json", "found nothing")
    (folder / "spiece.model").write_text("x")
    refused(folder, "found spiece.model")


def test_merges_are_missing(folder):
    dump(folder / "vocab.json", IDS)
    refused(folder, "tokenizer/merges.txt cannot be read")


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", None, 3])
def test_another_type_of_model(folder, kind):
    write_whole(folder, type=kind)
    refused(folder, f"model of type {kind!r}", "type BPE")


def test_a_whole_file_without_a_model(folder):
    dump(folder / "tokenizer.json", {"version": "1.0"})
    refused(folder, "model of type None")


@pytest.mark.parametrize("ids", [{}, {"a": "0"}, {"a": True}, {"a": 0.0}, {"a": None}])
def test_ids_that_are_no_numbers(folder, ids):
    write_pair(folder, ids)
    refused(folder, "vocab.json has no vocabulary")


@pytest.mark.parametrize("vocab", [None, [], [["a", 0.5]], "a"])
def test_a_whole_file_without_a_vocabulary(folder, vocab):
    write_whole(folder, vocab=vocab)
    refused(folder, "tokenizer.json has no vocabulary")


@pytest.mark.parametrize(
    "ids", [{"a": 1}, {"a": 0, "b": 2}, {"a": 0, "b": 0}, {"a": -1, "b": 0}, {"a": 2**70}]
)
def test_ids_with_holes_or_twins(folder, ids):
    write_pair(folder, ids, text="")
    refused(folder, f"must be 0 to {len(ids) - 1}, each once")


def test_a_piece_that_is_no_text(folder):
    (folder / "vocab.json").write_text('{"\\ud800": 0}')
    (folder / "merges.txt").write_text("")
    refused(folder, "which is no text")


@pytest.mark.parametrize("line", ["a", "a b</w> c", "a  b</w>", " ", "a\tb</w>"])
def test_a_line_that_is_no_merge(folder, line):
    write_pair(folder, text=f"#version: 0.2\nc a\n{line}\n")
    refused(folder, "merges.txt has the merge", "two pieces")


@pytest.mark.parametrize(
    "merges", [None, {"a": 1}, [3], [["a"]], [["a", 3]], ["a"], [["a", "b", "c"]]]
)
def test_a_whole_file_without_merges(folder, merges):
    write_whole(folder, merges=merges)
    refused(folder, "tokenizer.json has")


@pytest.mark.parametrize("pair", ["a x", "x a", "a c", "b</w> a"])
def test_a_merge_of_no_piece(folder, pair):
    write_pair(folder, text=f"{pair}\n")
    refused(folder, "must be pieces", "different models")


def test_merges_in_another_encoding(folder):
    write_pair(folder, text="#version: 0.2\ncaf\xe9 a\n".encode("latin-1"))
    refused(folder, "merges.txt is not UTF-8")


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer.json"])
def test_a_file_without_end(folder, name):
    write_pair(folder)
    with (folder / name).open("wb") as file:
        file.truncate(2**33)
    refused(folder, f"at most {VOCABULARY_BYTES} are read")

"""Which files of a foreign folder are opened, and how much of them is read."""

import os
from pathlib import Path

import pytest

from denoisert.export.sources.diffusers.file import (
    CONFIG_BYTES,
    check_file,
    is_there,
    read_bytes,
    read_object,
)
from denoisert.runtime.errors import ExportError

NAME = Path("unet", "config.json")


@pytest.fixture
def root(tmp_path):
    """A folder with a secret beside it."""
    (tmp_path / "secret").write_text('{"password": 1}')
    found = tmp_path / "model"
    (found / "unet").mkdir(parents=True)
    return found.resolve()


@pytest.fixture
def snapshot(tmp_path):
    """An empty snapshot of a Hugging Face cache."""
    found = tmp_path / "hub" / "models--anyone--tiny" / "snapshots" / "abc"
    (found / "unet").mkdir(parents=True)
    blobs = found.parent.parent / "blobs"
    blobs.mkdir()
    (blobs / "0123").write_text('{"a": 1}')
    return found.resolve()


def test_a_plain_file_is_read(root):
    (root / NAME).write_text('{"a": [1, 2.5, null]}')
    assert read_object(NAME, root) == {"a": [1, 2.5, None]}
    assert check_file(NAME, root) == root / NAME


def test_a_missing_file_is_named(root):
    with pytest.raises(ExportError, match=r"unet/config\.json cannot be read: No such file"):
        read_object(NAME, root)


@pytest.mark.parametrize("target", ["../../secret", "{outside}"])
def test_a_link_out_of_the_folder_is_refused(root, target):
    (root / NAME).symlink_to(target.format(outside=root.parent / "secret"))
    with pytest.raises(ExportError, match=r"link out of the folder.*cp -L") as caught:
        read_object(NAME, root)
    assert "password" not in str(caught.value)


def test_a_folder_that_is_a_link_out_is_refused(root):
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "config.json").write_text("{}")
    (root / "vae").symlink_to(outside)
    with pytest.raises(ExportError, match="link out of the folder"):
        read_object(Path("vae", "config.json"), root)


def test_a_link_within_the_folder_is_followed(root):
    (root / "other.json").write_text('{"b": 2}')
    (root / NAME).symlink_to("../other.json")
    assert read_object(NAME, root) == {"b": 2}


def test_a_neighbour_whose_name_begins_alike_is_outside(root):
    other = root.parent / "model-2"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (root / NAME).symlink_to("../../model-2/config.json")
    with pytest.raises(ExportError, match="link out"):
        read_object(NAME, root)


def test_a_snapshot_reads_its_own_blobs(snapshot):
    (snapshot / NAME).symlink_to("../../../blobs/0123")
    assert read_object(NAME, snapshot) == {"a": 1}


@pytest.mark.parametrize("place", ["blobs/deeper/x", "snapshots/other/x", "refs/x", "x"])
def test_a_snapshot_reads_nothing_else_of_the_cache(snapshot, place):
    target = snapshot.parent.parent / place
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("{}")
    (snapshot / NAME).symlink_to(target)
    with pytest.raises(ExportError, match="link out of the folder"):
        read_object(NAME, snapshot)


def test_blobs_of_another_repository_are_outside(snapshot):
    other = snapshot.parent.parent.parent / "models--other--tiny" / "blobs" / "1"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    (snapshot / NAME).symlink_to(other)
    with pytest.raises(ExportError, match="link out of the folder"):
        read_object(NAME, snapshot)


def test_blobs_that_are_a_link_themselves_are_outside(snapshot):
    blobs = snapshot.parent.parent / "blobs"
    blobs.rename(snapshot.parent.parent.parent / "moved")
    blobs.symlink_to("../moved")
    (snapshot / NAME).symlink_to("../../../blobs/0123")
    with pytest.raises(ExportError, match="link out of the folder"):
        read_object(NAME, snapshot)


def test_the_layout_of_a_cache_needs_both_names(root):
    fake = root / "snapshots" / "abc"
    (fake / "unet").mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "blobs" / "1").write_text("{}")
    (fake / NAME).symlink_to("../../../blobs/1")
    with pytest.raises(ExportError, match="link out of the folder"):
        read_object(NAME, fake)


def test_a_link_to_itself_is_refused(root):
    (root / NAME).symlink_to("config.json")
    with pytest.raises(ExportError, match="cannot be read"):
        read_object(NAME, root)
    assert is_there(root / NAME)


def test_a_pipe_is_refused_without_waiting(root):
    os.mkfifo(root / NAME)
    with pytest.raises(ExportError, match="no regular file"):
        read_object(NAME, root)


def test_a_device_is_refused(root):
    (root / NAME).symlink_to("/dev/zero")
    with pytest.raises(ExportError, match=r"no regular file|link out"):
        read_object(NAME, root)


def test_a_folder_in_place_of_a_file_is_refused(root):
    (root / NAME).mkdir()
    with pytest.raises(ExportError, match="no regular file"):
        read_object(NAME, root)


def test_a_long_file_is_not_read_whole(root):
    with (root / NAME).open("wb") as file:
        file.truncate(40 * 2**30)  # sparse: takes no room, but would fill the memory
    with pytest.raises(ExportError, match=rf"{40 * 2**30} bytes; at most {CONFIG_BYTES}"):
        read_object(NAME, root)


def test_the_limit_is_the_last_length_that_is_read(root):
    (root / NAME).write_bytes(b"12345")
    assert read_bytes(NAME, root, 5) == b"12345"
    with pytest.raises(ExportError, match="at most 4"):
        read_bytes(NAME, root, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[" * 100_000, "nested deeper"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": NaN}', "finite"),
        ('{"a": 1e999}', "finite"),
        ('\ufeff{"a": 1}', "not valid JSON"),
        ("[1, 2]", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
    ],
)
def test_what_is_no_strict_object_is_refused(root, text, reason):
    (root / NAME).write_text(text, encoding="utf-8")
    with pytest.raises(ExportError, match=reason) as caught:
        read_object(NAME, root)
    assert "config.json" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_other_encodings_are_refused(root):
    (root / NAME).write_bytes('{"a": 1}'.encode("utf-16"))
    with pytest.raises(ExportError, match="not valid JSON"):
        read_object(NAME, root)


def test_an_unset_bound_of_diffusers_is_null(root):
    (root / NAME).write_text(
        '{"a": -Infinity, "b": "-Infinity", "c": [Infinity], "d": "\\"Infinity"}'
    )
    expected = {"a": None, "b": "-Infinity", "c": [None], "d": '"Infinity'}
    assert read_object(NAME, root) == expected

"""Blobs in a cache: kept for one user, passed over when damaged, refused when others may write."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from denoisert.runtime.engines.blobs import FOLDER, MARK, Blobs
from denoisert.runtime.errors import Tampered

KEY = {"graph": "0" * 64, "threads": 2}
BLOB = bytes(range(256)) * 9


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def only(cache):
    (path,) = (cache / FOLDER).iterdir()
    return path


def test_a_blob_comes_back_under_its_own_key_only(cache):
    blobs = Blobs(cache)
    assert blobs.is_kept
    assert blobs.read(KEY) is None
    blobs.write(KEY, BLOB)
    assert blobs.note == ""
    assert Blobs(cache).read(dict(reversed(KEY.items()))) == BLOB
    for other in ({**KEY, "threads": 3}, {**KEY, "graph": "1" * 64}, {**KEY, "more": 1}, {}):
        assert blobs.read(other) is None


def test_the_newest_blob_of_a_key_stays(cache):
    blobs = Blobs(cache)
    for content in (BLOB, b"", b"newest"):
        blobs.write(KEY, content)
        assert blobs.read(KEY) == content
    assert only(cache).suffix == ".blob"


def test_folder_and_file_are_for_their_user_alone(cache):
    old = os.umask(0)
    try:
        Blobs(cache).write(KEY, BLOB)
    finally:
        os.umask(old)
    assert stat.S_IMODE((cache / FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE(only(cache).stat().st_mode) == 0o600


def test_without_a_cache_nothing_is_kept():
    blobs = Blobs(None)
    blobs.write(KEY, BLOB)
    assert not blobs.is_kept
    assert blobs.read(KEY) is None
    assert blobs.note == ""


def flipped(place):
    def damage(content):
        content[place] ^= 1
        return content

    return damage


DAMAGE = {
    "a bit of the blob": flipped(-1),
    "a bit of the digest": flipped(len(MARK) + 3),
    "a bit of the mark": flipped(0),
    "cut short": lambda content: content[:-1],
    "one byte more": lambda content: content + b"x",
    "head only": lambda content: content[: len(MARK) + 5],
    "empty": lambda content: bytearray(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_blob_is_passed_over_and_written_again(damage, cache):
    blobs = Blobs(cache)
    blobs.write(KEY, BLOB)
    path = only(cache)
    path.write_bytes(DAMAGE[damage](bytearray(path.read_bytes())))
    assert blobs.read(KEY) is None
    blobs.write(KEY, BLOB)
    assert blobs.read(KEY) == BLOB


@pytest.mark.parametrize(("mode", "who"), [(0o620, "group"), (0o602, "everybody")])
def test_a_blob_that_others_may_write_is_refused(mode, who, cache):
    blobs = Blobs(cache)
    blobs.write(KEY, BLOB)
    only(cache).chmod(mode)
    with pytest.raises(Tampered, match=rf"writable by .*{who}.* can be deleted"):
        blobs.read(KEY)


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_is_refused(mode, cache):
    blobs = Blobs(cache)
    blobs.write(KEY, BLOB)
    (cache / FOLDER).chmod(mode)
    with pytest.raises(Tampered, match="'engines' is writable by"):
        blobs.read(KEY)


def test_a_blob_of_another_user_is_refused(cache, monkeypatch):
    blobs = Blobs(cache)
    blobs.write(KEY, BLOB)
    if os.geteuid() == 0:
        os.chown(only(cache), 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Tampered, match="belongs to user"):
        blobs.read(KEY)


def test_links_are_refused(cache, tmp_path):
    blobs = Blobs(cache)
    blobs.write(KEY, BLOB)
    path, elsewhere = only(cache), tmp_path / "elsewhere"
    os.link(path, elsewhere)
    with pytest.raises(Tampered, match="2 hard links"):
        blobs.read(KEY)
    path.unlink()
    path.symlink_to(elsewhere)
    with pytest.raises(Tampered, match="symbolic link"):
        blobs.read(KEY)
    path.unlink()
    path.mkdir()
    with pytest.raises(Tampered, match="folder"):
        blobs.read(KEY)


def test_a_blob_that_vanishes_meanwhile_is_passed_over(cache, monkeypatch):
    blobs = Blobs(cache)
    blobs.write(KEY, BLOB)
    monkeypatch.setattr(os.path, "lexists", lambda path: path.unlink() is None)
    assert blobs.read(KEY) is None
    assert "passed over" in blobs.note


def test_a_cache_that_cannot_be_written_is_noted_and_harms_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    blobs = Blobs(tmp_path / "file")
    blobs.write(KEY, BLOB)
    assert "could not be cached" in blobs.note
    assert blobs.read(KEY) is None
    (tmp_path / "file").unlink()
    blobs.write(KEY, BLOB)
    assert blobs.note == ""
    assert blobs.read(KEY) == BLOB


def test_writing_that_fails_leaves_no_draft(cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    blobs = Blobs(cache)
    monkeypatch.setattr(os, "replace", full)
    blobs.write(KEY, BLOB)
    assert "No space left" in blobs.note
    assert [*(cache / FOLDER).iterdir()] == []


def test_many_writers_leave_one_whole_blob(cache):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: Blobs(cache).write(KEY, bytes([number]) * 4096), range(64)))
    found = Blobs(cache).read(KEY)
    assert found is not None
    assert len(set(found)) == 1
    assert only(cache).suffix == ".blob"

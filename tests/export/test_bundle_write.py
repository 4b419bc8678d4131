"""Writing a bundle: reproducible, all or nothing, and nothing at all when it is there already."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from denoisert.export.bundle import Contents, Draft, is_current, write_bundle
from denoisert.export.bundle.exchange import install
from denoisert.export.bundle.write import CHECKED_BYTES
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.errors import BundleError, ExportError, InvalidInput, Tampered
from tests.export.tiny_bundle import CARD, filler, source, version_at, write


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode and times of everything, so that any write shows."""
    paths = (folder, *folder.rglob("*"))
    stats = {str(path): path.lstat() for path in paths}
    return {path: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for path, s in stats.items()}


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_new_bundle_opens_and_tells_what_it_is(tmp_path: Path) -> None:
    manifest = write(tmp_path / "deep" / "er" / "a.bundle", 1)
    bundle = Bundle.open(tmp_path / "deep" / "er" / "a.bundle", expect=manifest.id)
    bundle.verify_all()
    assert bundle.manifest == manifest
    assert bundle.card == CARD
    assert bundle.manifest.source == source(1)
    assert os.listdir(tmp_path / "deep" / "er") == ["a.bundle"]


def test_equal_content_gives_equal_bytes_and_id(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.bundle", 1), write(tmp_path / "b.bundle", 1)
    assert first == second
    assert content(tmp_path / "a.bundle") == content(tmp_path / "b.bundle")
    assert write(tmp_path / "c.bundle", 2).id != first.id


def test_an_older_bundle_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    for version in (1, 2, 1):
        write(out, version)
        assert version_at(out) == version
        assert [path.name for path in out.glob("graphs/only*")] == [f"only-in-{version}.txt"]
        assert os.listdir(tmp_path) == ["a.bundle"]


def test_the_same_source_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    first = write(out, 1)
    before = snapshot(tmp_path)

    def fill(_: Draft) -> Contents:
        pytest.fail("compiled again")

    assert is_current(out, source(1))
    assert write_bundle(out, source(1), fill) == first
    assert snapshot(tmp_path) == before


def test_another_source_is_not_current(tmp_path: Path) -> None:
    write(tmp_path / "a.bundle", 1)
    assert not is_current(tmp_path / "a.bundle", source(2))
    assert not is_current(tmp_path / "none.bundle", source(1))


@pytest.mark.parametrize("name", ["graphs/denoiser.onnx", "manifest.json"])
def test_a_damaged_bundle_is_not_current_and_is_written_again(tmp_path: Path, name: str) -> None:
    out = tmp_path / "a.bundle"
    write(out, 1)
    data = bytearray((out / name).read_bytes())
    data[5] ^= 1
    (out / name).write_bytes(data)
    assert not is_current(out, source(1))
    write(out, 1)
    assert version_at(out) == 1


def test_large_files_are_current_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CHECKED_BYTES >= 2**20
    out = tmp_path / "a.bundle"
    write(out, 1)
    monkeypatch.setattr("denoisert.export.bundle.write.CHECKED_BYTES", 1000)
    weights = next(out.glob("weights/*"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert is_current(out, source(1))
    with pytest.raises(Tampered):
        Bundle.open(out).verify_all()
    os.truncate(weights, 2000)
    assert not is_current(out, source(1))


@pytest.mark.parametrize("error", [ExportError("no"), KeyboardInterrupt(), ValueError("odd")])
def test_a_compiler_that_fails_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "a.bundle"
    write(out, 1)
    before = snapshot(out)

    def fill(draft: Draft) -> Contents:
        filler(2)(draft)
        raise error

    with pytest.raises(type(error)):
        write_bundle(out, source(2), fill)
    assert snapshot(out) == before
    assert os.listdir(tmp_path) == ["a.bundle"]


def test_contents_that_do_not_fit_the_files_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    write(out, 1)
    lost = GraphEntry("graphs/lost.onnx", (), (), (), 23)
    engine = EngineEntry("1", {"denoiser": lost})
    for graphs, engines in (({"denoiser": lost}, {}), ({}, {"onnxruntime": engine})):
        contents = Contents(CARD, graphs, engines, "tests")
        with pytest.raises(InvalidInput, match=r"lost\.onnx"):
            write_bundle(out, source(2), lambda _, contents=contents: contents)
        assert version_at(out) == 1


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "", "a\\b", "manifest.json/.."])
def test_a_draft_holds_its_files_inside(tmp_path: Path, path: str) -> None:
    def fill(draft: Draft) -> Contents:
        draft.write(path, b"x")
        return Contents(CARD, {}, {}, "tests")

    with pytest.raises(InvalidInput, match="plain relative path"):
        write_bundle(tmp_path / "a.bundle", source(1), fill)
    assert not list(tmp_path.iterdir())


def test_files_of_a_library_get_mode_and_digest(tmp_path: Path) -> None:
    def fill(draft: Draft) -> Contents:
        path = draft.path("engines/own/denoiser.bin")
        path.write_bytes(b"engine")
        path.chmod(0o777)
        path.parent.chmod(0o777)
        graph = GraphEntry("engines/own/denoiser.bin", (), (), ())
        return Contents(CARD, {}, {"own": EngineEntry("1.0", {"denoiser": graph})}, "tests")

    out = tmp_path / "a.bundle"
    manifest = write_bundle(out, source(1), fill)
    assert manifest.files["engines/own/denoiser.bin"].size == 6
    assert (out / "engines/own/denoiser.bin").stat().st_mode & 0o777 == 0o644
    assert (out / "engines/own").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_a_link_in_a_draft_is_refused(tmp_path: Path, make: object) -> None:
    (tmp_path / "secret").write_bytes(b"x")

    def fill(draft: Draft) -> Contents:
        make(tmp_path / "secret", draft.path("graphs/x"))
        return Contents(CARD, {}, {}, "tests")

    with pytest.raises(Tampered, match="link"):
        write_bundle(tmp_path / "a.bundle", source(1), fill)
    assert os.listdir(tmp_path) == ["secret"]


def test_only_a_bundle_or_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("home", "file"):
        with pytest.raises(BundleError, match="exists and is no bundle"):
            write(tmp_path / name, 1)
    assert content(tmp_path) == {"home/letter.txt": b"dear", "file": b"x"}
    write(tmp_path / "empty", 1)
    assert version_at(tmp_path / "empty") == 1


def test_a_link_keeps_pointing_to_the_bundle_it_names(tmp_path: Path) -> None:
    write(tmp_path / "real.bundle", 1)
    (tmp_path / "current").symlink_to("real.bundle")
    write(tmp_path / "current", 2)
    assert (tmp_path / "current").is_symlink()
    assert version_at(tmp_path / "real.bundle") == 2


def test_only_drafts_of_this_bundle_are_removed(tmp_path: Path) -> None:
    ours = tmp_path / ".a.bundle.0123456789abcdef.draft"
    others = [
        tmp_path / ".b.bundle.0123456789abcdef.draft",
        tmp_path / ".a.bundle.0123.draft",
        tmp_path / "a.bundle.0123456789abcdef.draft",
        tmp_path / ".a.bundle.0123456789abcdef.draft.old",
    ]
    for folder in (ours, *others):
        (folder / "weights").mkdir(parents=True)
    (tmp_path / ".a.bundle.fedcba9876543210.draft").symlink_to(others[0])
    write(tmp_path / "a.bundle", 1)
    assert not ours.exists()
    assert all((folder / "weights").exists() for folder in others)


def test_a_second_writer_waits_and_says_for_what(tmp_path: Path) -> None:
    out, path = tmp_path / "a.bundle", tmp_path / ".a.bundle.lock"
    with path.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(BundleError, match=r"another process .* \S*\.a\.bundle\.lock"):
            write_bundle(out, source(1), filler(1), lock_timeout_s=0.05)
        assert path.exists()
    assert not out.exists()
    write(out, 1)
    assert os.listdir(tmp_path) == ["a.bundle"]


def test_a_lock_file_that_was_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiter may lock the file that the last holder has just removed; a third has made a new."""
    path, flock = tmp_path / ".a.bundle.lock", fcntl.flock
    third: list[int] = []

    def late(descriptor: int, operation: int) -> None:
        if not third:
            path.unlink()
            third.append(os.open(path, os.O_RDWR | os.O_CREAT))
            flock(third[0], fcntl.LOCK_EX)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(BundleError, match="another process"):
        write_bundle(tmp_path / "a.bundle", source(1), filler(1), lock_timeout_s=0.05)
    os.close(third[0])
    write(tmp_path / "a.bundle", 1)


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="cannot make the folder"):
        write(tmp_path / "file" / "a.bundle", 1)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EACCES])
def test_a_file_system_without_exchange_keeps_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    out = tmp_path / "a.bundle"
    write(out, 1)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("denoisert.export.bundle.exchange._exchange", refuse)
    advice = "permissions" if number == errno.EACCES else "cannot exchange folders"
    with pytest.raises(BundleError, match=advice):
        write(out, 2)
    assert version_at(out) == 1
    assert os.listdir(tmp_path) == ["a.bundle"]
    write(tmp_path / "b.bundle", 2)


def test_install_exchanges_names(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    install(tmp_path / "new", tmp_path / "old")
    assert content(tmp_path) == {"old/new": b"new", "new/old": b"old"}
    with pytest.raises(BundleError, match="No such file"):
        install(tmp_path / "gone", tmp_path / "old")

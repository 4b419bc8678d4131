"""A full disk, injected at every write and for real: one clear error, and the old bundle stays."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from denoisert.export.bundle import write_bundle
from denoisert.export.bundle.file import check_space, write_file
from denoisert.runtime.errors import BundleError
from tests.export.tiny_bundle import filler, source, version_at, write

ROOT = Path(__file__).parents[2]
CODE = [sys.executable, "-m", "tests.export.bundle_disk"]


def run(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_larger_than_allowed_is_one_clear_error(tmp_path: Path) -> None:
    said = run([*CODE, str(tmp_path), "100000", "65536"])
    assert "cannot write" in said
    assert "File too large" in said
    assert "bytes free" in said


def can_mount(folder: Path) -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("wants root and permission to mount a tmpfs in a namespace of its own")
    mount = 'mount -t tmpfs -o size=256k none "$1" && shift && exec "$@"'
    said = run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            mount,
            "sh",
            str(tmp_path),
            *CODE,
            str(tmp_path),
            "100000",
            "0",
        ]
    )
    assert "No space left on device" in said
    assert "make room" in said
    assert not list(tmp_path.iterdir()), "the mount was private"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Every sync in turn fails, until the bundle gets through."""
    out = tmp_path / "tiny.bundle"
    sync = os.fsync
    failures = 0
    write(out, 1)
    for turn in range(100):
        left = [turn]

        def failing(descriptor: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(number, os.strerror(number))
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        try:
            write(out, 2)
        except BundleError as error:
            failures += os.strerror(number) in str(error)
        assert os.listdir(tmp_path) == [out.name]
        if version_at(out) == 2:
            break
    assert failures == turn + (left[0] < 0)
    assert failures > 10
    assert version_at(out) == 2


def test_room_is_checked_before_work_starts(tmp_path: Path) -> None:
    out, needed = tmp_path / "new" / "tiny.bundle", 2**60

    def fill(_: object) -> None:
        pytest.fail("work was started")

    with pytest.raises(BundleError, match=rf"needs {needed} bytes .* has \d+ free"):
        write_bundle(out, source(1), fill, needed_bytes=needed)
    assert not list(out.parent.iterdir())
    write_bundle(out, source(1), filler(1), needed_bytes=10_000)
    assert version_at(out) == 1


def test_room_that_suffices_is_no_error(tmp_path: Path) -> None:
    check_space(tmp_path, 0)
    check_space(tmp_path, shutil.disk_usage(tmp_path).free // 2)


def test_a_broken_source_of_bytes_leaves_no_file(tmp_path: Path) -> None:
    def chunks() -> object:
        yield b"some"
        raise OSError(errno.EIO, "the source broke")

    with pytest.raises(BundleError, match="after 4 bytes: the source broke"):
        write_file(tmp_path / "a", chunks())
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(BundleError, match="File exists"):
        write_file(tmp_path / "a", [b"new"])
    assert (tmp_path / "a").read_bytes() == b"old"


def test_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path / "deep" / "a.bundle", 1)
        os.umask(0)
        write(tmp_path / "b.bundle", 1)
    finally:
        os.umask(before)
    for path in (
        tmp_path / "deep",
        *tmp_path.rglob("*.bundle"),
        *tmp_path.glob("**/*.bundle/**/*"),
    ):
        assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644), path

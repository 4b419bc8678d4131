"""Engines by content: what is found again, what is not, and that a broken cache breaks nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from denoisert.export.targets import store as module
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.store import EngineStore, outputs
from denoisert.runtime.errors import Tampered
from tests.export.targets.disks import largest_file

KEY, OTHER = "a" * 64, "b" * 64
BODY = bytes(range(256)) * 64
WEIGHTS = BODY[::-1]


def job_at(folder: Path, name: str = "text.2") -> EngineJob:
    """A job whose folder is there; its component's name has a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    return EngineJob(name, "openvino", folder / "graph.onnx", folder, folder / f"{name}.xml")


@pytest.fixture
def built(tmp_path: Path) -> EngineJob:
    """An engine of three files, beside one of another component."""
    job = job_at(tmp_path / "built")
    job.out.write_bytes(BODY)
    (job.root / "text.2.bin").write_bytes(WEIGHTS)
    (job.root / "text.2.kernels.bin").write_bytes(b"kernels")
    (job.root / "text.xml").write_bytes(b"another's")
    return job


@pytest.fixture
def store(tmp_path: Path, built: EngineJob) -> EngineStore:
    """With that engine."""
    found = EngineStore(tmp_path / "cache")
    found.keep(KEY, built, 1.5, 2**30)
    return found


def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / module.FOLDER


def files_of(job: EngineJob) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in outputs(job)}


def test_a_kept_engine_is_copied_whole(
    tmp_path: Path, built: EngineJob, store: EngineStore
) -> None:
    job = job_at(tmp_path / "new")
    record = store.take(KEY, job)
    assert record is not None
    assert (record.seconds, record.peak_bytes) == (1.5, 2**30)
    assert files_of(job) == files_of(built)
    assert set(files_of(job)) == {"text.2.xml", "text.2.bin", "text.2.kernels.bin"}
    assert [path.name for path in place(tmp_path).iterdir()] == [KEY], "no lock and no draft"


def test_it_takes_the_name_of_the_component(tmp_path: Path, store: EngineStore) -> None:
    job = job_at(tmp_path / "new", "denoiser")
    assert store.take(KEY, job) is not None
    assert set(files_of(job)) == {"denoiser.xml", "denoiser.bin", "denoiser.kernels.bin"}


def test_nothing_else_is_found(tmp_path: Path, store: EngineStore) -> None:
    job = job_at(tmp_path / "new")
    assert store.take(OTHER, job) is None
    assert EngineStore(tmp_path / "no cache").take(KEY, job) is None
    assert not files_of(job)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def is_list(path: Path) -> None:
    path.write_text("[1, 2]", encoding="utf-8")


def has_no_engine(path: Path) -> None:
    plain = json.loads(path.read_text(encoding="utf-8"))
    del plain["files"]["engine.xml"]
    path.write_text(json.dumps(plain), encoding="utf-8")


def lists_files(path: Path) -> None:
    plain = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**plain, "files": list(plain["files"])}), encoding="utf-8")


def leaves_the_folder(path: Path) -> None:
    plain = json.loads(path.read_text(encoding="utf-8"))
    plain["files"][f"../{KEY}/engine.xml"] = plain["files"]["engine.xml"]
    path.write_text(json.dumps(plain), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("engine.xml", flip),
        ("engine.bin", flip),
        ("engine.kernels.bin", shorten),
        ("engine.bin", Path.unlink),
        *((module.RECORD, each) for each in (flip, shorten, is_list, Path.unlink)),
        *((module.RECORD, each) for each in (has_no_engine, lists_files, leaves_the_folder)),
    ],
)
def test_a_damaged_engine_is_built_again_and_replaced(
    tmp_path: Path,
    built: EngineJob,
    store: EngineStore,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    damage(place(tmp_path) / KEY / name)
    job = job_at(tmp_path / "new")
    assert store.take(KEY, job) is None
    assert not files_of(job), "a compiler begins with an empty folder"
    store.keep(KEY, built, 2.5, 2**20)
    record = store.take(KEY, job)
    assert record is not None
    assert record.seconds == 2.5
    assert files_of(job) == files_of(built)


@pytest.mark.parametrize("count", [100, len(BODY)], ids=["engine", "nothing fails"])
def test_a_full_disk_keeps_nothing(tmp_path: Path, built: EngineJob, count: int) -> None:
    store = EngineStore(tmp_path / "cache")
    with largest_file(count):
        store.keep(KEY, built, 1.0, 1)
    found = store.take(KEY, job_at(tmp_path / "new")) is not None
    assert found == (count == len(BODY))
    assert len(list(place(tmp_path).iterdir())) == found


def test_a_full_disk_takes_nothing(tmp_path: Path, store: EngineStore) -> None:
    job = job_at(tmp_path / "new")
    with largest_file(100):
        assert store.take(KEY, job) is None
    assert not files_of(job)


def test_a_cache_that_cannot_be_made_is_none(tmp_path: Path, built: EngineJob) -> None:
    (tmp_path / "cache").write_bytes(b"a file in the way")
    store = EngineStore(tmp_path / "cache")
    store.keep(KEY, built, 1.0, 1)
    assert store.take(KEY, job_at(tmp_path / "new")) is None
    assert (tmp_path / "cache").read_bytes() == b"a file in the way"


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        (".", 0o777, "writable by everybody"),
        (KEY, 0o770, "writable by its group"),
        (f"{KEY}/engine.bin", 0o660, "writable by its group"),
        (f"{KEY}/{module.RECORD}", 0o666, "writable by everybody"),
    ],
)
def test_an_engine_that_others_can_write_is_not_taken(
    tmp_path: Path, store: EngineStore, name: str, mode: int, words: str
) -> None:
    (place(tmp_path) / name).chmod(mode)
    job = job_at(tmp_path / "new")
    with pytest.raises(Tampered, match=rf"in the cache .*{words}.* can be deleted"):
        store.take(KEY, job)
    assert not files_of(job)


def test_an_engine_that_is_a_link_is_not_taken(tmp_path: Path, store: EngineStore) -> None:
    path = place(tmp_path) / KEY / "engine.bin"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Tampered, match="is a symbolic link"):
        store.take(KEY, job_at(tmp_path / "new"))


def test_what_is_kept_is_its_users_alone(tmp_path: Path, built: EngineJob) -> None:
    store = EngineStore(tmp_path / "cache")
    before = os.umask(0)
    try:
        store.keep(KEY, built, 1.5, 2**30)
    finally:
        os.umask(before)
    entry = place(tmp_path) / KEY
    assert {path.stat().st_mode & 0o777 for path in entry.iterdir()} == {0o600}
    assert entry.stat().st_mode & 0o777 == 0o700
    assert store.take(KEY, job_at(tmp_path / "new")) is not None


KEEP_AND_DIE = """
import os, signal, sys
from pathlib import Path
from denoisert.export.targets import store
from denoisert.export.targets.job import EngineJob

def dying(source, target):
    Path(target).write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

folder, cache, key = map(Path, sys.argv[1:])
store.shutil.copyfile = dying
job = EngineJob("text.2", "openvino", folder / "graph.onnx", folder, folder / "text.2.xml")
store.EngineStore(cache).keep(key.name, job, 1.0, 1)
"""


def test_what_a_killed_writer_left_goes_with_the_next(
    tmp_path: Path, built: EngineJob, store: EngineStore
) -> None:
    command = [sys.executable, "-c", KEEP_AND_DIE, str(built.root), str(tmp_path / "cache"), OTHER]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(place(tmp_path).iterdir())) > 1
    assert store.take(OTHER, job_at(tmp_path / "new")) is None
    store.keep(KEY, built, 1.5, 2**30)
    assert [path.name for path in place(tmp_path).iterdir()] == [KEY]


def test_writers_and_readers_at_once_never_see_half_an_engine(
    tmp_path: Path, built: EngineJob, store: EngineStore
) -> None:
    """Writers of one key and of another, whose threads have locks of their own."""
    threads = [
        threading.Thread(target=lambda key=key: [store.keep(key, built, 1.5, 1) for _ in range(8)])
        for key in (KEY, KEY, OTHER)
    ]
    for thread in threads:
        thread.start()
    wanted, turn = files_of(built), 0
    while any(thread.is_alive() for thread in threads):
        turn += 1
        job = job_at(tmp_path / f"new {turn}")
        taken = store.take(KEY, job)
        assert files_of(job) == (wanted if taken else {})
    for key in (KEY, OTHER):
        assert store.take(key, job_at(tmp_path / key)) is not None
    assert sorted(path.name for path in place(tmp_path).iterdir()) == [KEY, OTHER]

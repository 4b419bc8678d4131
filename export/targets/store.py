"""Engines by content: one that was built before, from the same graph in the same way, is copied.

The key is a SHA-256 over everything that an engine depends on; the cache may be deleted at any
time. Files are compared with their own digests before they are taken, and only if nobody else can
have written them, for the bundle vouches for its engines. Whatever else is wrong with the cache, a
full disk or a folder that nobody may write, an engine is built again and not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Final

from denoisert.export.bundle.file import make_folder
from denoisert.export.bundle.lock import lock
from denoisert.export.fingerprint import Fingerprint
from denoisert.export.targets.job import EngineJob
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.bundle.verify import check_access, check_regular
from denoisert.runtime.errors import Tampered

FOLDER: Final = "built"
RECORD: Final = "record.json"
STEM: Final = "engine"
ENGINES: Final = "engines"
"""What a bundle calls the folder whose files only their owner may write."""

DRAFT: Final = ".draft"
LOCK_TIMEOUT_S: Final = 600.0

ROOMS: Final = ("export/targets", "runtime/engines")
"""Our own code that an engine depends on."""


@dataclass(frozen=True, slots=True)
class Record:
    """What building an engine took.

    Args:
        seconds: of the compiler.
        peak_bytes: of its process.
        files: name of each file -> SHA-256.
    """

    seconds: float
    peak_bytes: int
    files: Mapping[str, str]


class EngineStore:
    """A folder of engines.

    Args:
        cache: where; made when the first engine is kept.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / FOLDER

    def take(self, key: str, job: EngineJob) -> Record | None:
        """Copy a kept engine to where the job wants it.

        Returns:
            What it took to build; None where it is not kept, or damaged.

        Raises:
            Tampered: somebody else could have written it, or a file of it is a link.
        """
        try:
            self._check(key)
            text = (self._folder / key / RECORD).read_text(encoding="utf-8")
            record: Record = decode(Record, json.loads(text), RECORD, {})
            self._copy(key, job, record.files)
        except Tampered as error:
            raise Tampered(
                f"in the cache {self._folder.parent}: {error} What is kept is built again where it "
                "is missing, so it can be deleted."
            ) from error
        except (OSError, ValueError):
            for path in outputs(job):
                path.unlink()
            return None
        return record

    def keep(self, key: str, job: EngineJob, seconds: float, peak_bytes: int) -> None:
        """Copy a new engine into the store, in one step; a full disk keeps nothing.

        What writers that were killed have left goes, for the lock says that none is alive.
        """
        with suppress(OSError):
            make_folder(self._folder)
            with lock(self._folder / STEM, LOCK_TIMEOUT_S):
                for leftover in self._folder.glob(f"*{DRAFT}"):
                    shutil.rmtree(leftover, ignore_errors=True)
                self._write(key, job, seconds, peak_bytes)

    def _check(self, key: str) -> None:
        """Refuse what somebody else may write.

        Raises:
            Tampered: see `take`.
            OSError: it is not there.
        """
        place = self._folder / key
        files = tuple(place.iterdir())
        for path in (self._folder, place, *files):
            check_access(f"{ENGINES}/{path.name}", os.lstat(path))
        for path in files:
            check_regular(path.name, os.lstat(path))

    def _copy(self, key: str, job: EngineJob, files: Mapping[str, str]) -> None:
        """Every file to beside the engine.

        Raises:
            ValueError: one is damaged, or the engine is none of them.
            OSError: one is missing, or the disk is full.
        """
        for name, known in files.items():
            copy = job.out.with_name(job.out.stem + name.removeprefix(STEM))
            shutil.copyfile(self._folder / key / name, copy)
            if digest(copy) != known:
                raise ValueError(f"{name} is damaged.")
        if not job.out.is_file():
            raise ValueError(f"{job.out.name} is not among {', '.join(files)}.")

    def _write(self, key: str, job: EngineJob, seconds: float, peak_bytes: int) -> None:
        draft, place = self._folder / f"{key}{DRAFT}", self._folder / key
        try:
            draft.mkdir(mode=0o700)
            files = {}
            for path in outputs(job):
                name = STEM + path.name.removeprefix(job.out.stem)
                shutil.copyfile(path, draft / name)
                files[name] = digest(path)
            record = asdict(Record(seconds, peak_bytes, files))
            (draft / RECORD).write_text(json.dumps(record), encoding="utf-8")
            for path in draft.iterdir():
                path.chmod(0o600)
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def engine_digest(job: EngineJob, graph: bytes, version: str, weights: Sequence[str]) -> str:
    """What an engine depends on, as one SHA-256.

    Args:
        job: target, profiles and capabilities count, its paths do not.
        graph: the ONNX file's content.
        version: of the target's library.
        weights: content-addressed names of its weight files.
    """
    found = Fingerprint()
    found.add("graph", graph)
    for label, value in (
        ("target", job.target),
        ("version", version),
        ("weights", sorted(weights)),
        ("profiles", [dict(sorted(profile.axes.items())) for profile in job.profiles]),
        ("capabilities", list(job.capabilities)),
    ):
        found.add(label, json.dumps(value).encode())
    for name, path in _sources():
        found.add_file(name, path)
    return found.hexdigest()


def outputs(job: EngineJob) -> list[Path]:
    """The files of an engine: what lies beside its own under the same stem."""
    found = job.out.parent.glob(f"{escape(job.out.stem)}.*")
    return sorted(path for path in found if path.is_file())


def _sources() -> Iterator[tuple[str, Path]]:
    root = Path(__file__).parents[2]
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

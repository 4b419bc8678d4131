"""Engines by content: one that was built before, from the same graph in the same way, is copied.

The key is a SHA-256 over everything that an engine depends on; the cache may be deleted at any
time. Files are compared with their own digests before they are taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from denoisert.export.bundle.file import make_folder
from denoisert.export.fingerprint import Fingerprint
from denoisert.export.targets.job import EngineJob

FOLDER: Final = "built"
RECORD: Final = "record.json"


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
    files: dict[str, str]


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
        """
        place = self._folder / key
        try:
            record = Record(**json.loads((place / RECORD).read_text(encoding="utf-8")))
            for name in record.files:
                shutil.copyfile(place / name, job.out.with_suffix(Path(name).suffix))
        except (OSError, ValueError, TypeError):
            return None
        if {path.name: digest(path) for path in outputs(job)} != {
            f"{job.out.stem}{Path(name).suffix}": found for name, found in record.files.items()
        }:
            return None
        return record

    def keep(self, key: str, job: EngineJob, seconds: float, peak_bytes: int) -> None:
        """Copy a new engine into the store, in one step; a full disk keeps nothing."""
        make_folder(self._folder)
        draft = self._folder / f".{key[:16]}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            draft.mkdir(mode=0o700)
            files = {f"engine{path.suffix}": path for path in outputs(job)}
            for name, path in files.items():
                shutil.copyfile(path, draft / name)
            digests = {name: digest(path) for name, path in files.items()}
            record = {"seconds": seconds, "peak_bytes": peak_bytes, "files": digests}
            (draft / RECORD).write_text(json.dumps(record), encoding="utf-8")
            shutil.rmtree(self._folder / key, ignore_errors=True)
            draft.rename(self._folder / key)
        except OSError:
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
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        found.add_file(path.name, path)
    return found.hexdigest()


def outputs(job: EngineJob) -> list[Path]:
    """The files of an engine: what lies beside its own under the same stem."""
    return sorted(path for path in job.out.parent.glob(f"{job.out.stem}.*") if path.is_file())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

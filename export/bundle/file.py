"""The one function that writes files, and what makes them last: modes and fsync.

Everything of a bundle goes through `write_file`, so a full disk is one case with one error, and a
test can make the disk full at any byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from denoisert.runtime.errors import BundleError

Chunk = bytes | memoryview
FILE_MODE = 0o644
FOLDER_MODE = 0o755


def write_file(path: Path, chunks: Iterable[Chunk]) -> int:
    """Write a new file and wait until the disk has it.

    Args:
        path: must not exist yet.
        chunks: its content in order.

    Returns:
        Bytes written.

    Raises:
        BundleError: the disk is full or refuses; what was written of the file is removed.
    """
    written = 0
    try:
        with open(path, "xb", opener=_create) as file:
            for chunk in chunks:
                written += file.write(chunk)
            file.flush()
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
    except OSError as error:
        if not isinstance(error, FileExistsError):
            path.unlink(missing_ok=True)
        raise BundleError(
            f"cannot write {path.name!r} after {written} bytes: {error.strerror or error}. The "
            f"folder has {free_bytes(path.parent)} bytes free. Nothing was changed; make room and "
            "compile again."
        ) from error
    return written


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write below an existing folder."""
    return shutil.disk_usage(folder).free


def check_space(folder: Path, needed_bytes: int) -> None:
    """Refuse work that cannot be stored.

    Raises:
        BundleError: less is free than needed.
    """
    free = free_bytes(folder)
    if free < needed_bytes:
        raise BundleError(
            f"the bundle needs {needed_bytes} bytes while it is written, {folder} has {free} free. "
            f"Free {needed_bytes - free} bytes more or write elsewhere."
        )


def make_folder(path: Path) -> None:
    """Create a folder and those above it that are missing, writable by their owner only.

    Raises:
        BundleError: a file stands in the way, or the disk refuses.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir()
        path.chmod(FOLDER_MODE)
    except OSError as error:
        raise BundleError(f"cannot make the folder {path}: {error.strerror}.") from error


def settle(path: Path) -> None:
    """Give a file or folder its mode and wait until the disk has it, whoever wrote it.

    Raises:
        OSError: a link, or the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, FOLDER_MODE if path.is_dir() else FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)

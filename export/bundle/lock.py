"""One writer per bundle: an exclusive `flock` on a file beside it.

The kernel releases it when its holder dies, so nobody ever has to remove a stale lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from denoisert.runtime.errors import BundleError

POLL_S = 0.02


@contextmanager
def lock(out: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock of a bundle; the lock file is gone afterwards.

    Args:
        out: the bundle, in an existing folder.
        timeout_s: how long another writer is waited for.

    Raises:
        BundleError: another process still writes, or no lock file can be made here.
    """
    path = out.parent / f".{out.name}.lock"
    descriptor = _acquire(path, time.monotonic() + timeout_s)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while held, so a waiting writer notices and makes a new one
        os.close(descriptor)


def _acquire(path: Path, deadline: float) -> int:
    while True:
        descriptor = _attempt(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise BundleError(
                f"another process is writing this bundle; it holds {path}. Wait until it has "
                "finished, or end it."
            )
        time.sleep(POLL_S)


def _attempt(path: Path) -> int | None:
    """The descriptor that holds the lock, or None while another process does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BundleError(f"cannot make the lock file {path}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass  # held by another, or removed by the one that held it
    except OSError as error:
        os.close(descriptor)
        raise BundleError(f"this file system cannot lock {path}: {error.strerror}.") from error
    os.close(descriptor)
    return None

"""Engines that a library specialised for this device, kept in a cache folder.

A library that deserialises one runs what it finds: so nobody else may be able to write it, which is
the rule of a bundle's own engines, and its digest is compared before its bytes are used. Everything
that an engine depends on is in its name, and one that is cut short or damaged is made again.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Final

from denoisert.runtime.bundle.document import Plain, canonical
from denoisert.runtime.bundle.verify import check_access, check_regular, open_here
from denoisert.runtime.errors import Tampered

FOLDER: Final = "engines"
SUFFIX: Final = ".blob"
MARK: Final = b"denoisert blob 1\n"
DIGITS: Final = 32
DIGEST_BYTES: Final = 32


class Blobs:
    """The folder `engines` of a cache; without a cache it is always empty.

    Attributes:
        note: why the last blob could not be read or kept, "" where it was.

    Args:
        cache: folder of the device profile, or None.
    """

    def __init__(self, cache: Path | None) -> None:
        self.note = ""
        self._folder = None if cache is None else cache / FOLDER

    @property
    def is_kept(self) -> bool:
        """Whether there is a cache."""
        return self._folder is not None

    def read(self, key: Plain) -> bytes | None:
        """What was written for a key; None where nothing was, or it is damaged or unreadable.

        Args:
            key: everything that the blob depends on.

        Raises:
            Tampered: somebody else could have written it, or it is a link.
        """
        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        if not os.path.lexists(path):
            return None
        try:
            check_access(FOLDER, os.lstat(self._folder))
            check_regular(path.name, os.lstat(path))
            with open(path, "rb", opener=open_here) as file:
                check_access(f"{FOLDER}/{path.name}", os.fstat(file.fileno()))
                return _checked(file.read())
        except Tampered as error:
            raise Tampered(
                f"in the cache {self._folder.parent}: {error} What is cached is made again where "
                "it is missing, so it can be deleted."
            ) from error
        except OSError as error:
            self.note = f"a cached engine was passed over: {error}"
            return None

    def write(self, key: Plain, blob: bytes) -> None:
        """Keep a blob, in one step, for this user alone; `note` says where that failed."""
        if self._folder is None:
            return
        path = self._path(self._folder, key)
        draft = path.with_name(f".{path.stem}.{os.getpid()}.{get_ident()}")
        self.note = ""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(draft, "xb", opener=_open_mine) as file:
                file.write(MARK)
                file.write(hashlib.sha256(blob).digest())
                file.write(blob)
            os.replace(draft, path)
        except OSError as error:
            self.note = f"the engine could not be cached: {error}"
        finally:
            _drop(draft)

    def _path(self, folder: Path, key: Plain) -> Path:
        return folder / f"{hashlib.sha256(canonical(key)).hexdigest()[:DIGITS]}{SUFFIX}"


def _checked(content: bytes) -> bytes | None:
    """What follows mark and digest, where they are right."""
    head = len(MARK) + DIGEST_BYTES
    blob = content[head:]
    whole = MARK + hashlib.sha256(blob).digest()
    return blob if content[:head] == whole else None


def _drop(draft: Path) -> None:
    with suppress(OSError):  # where it could not be made
        draft.unlink(missing_ok=True)


def _open_mine(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

"""Kernels that the library compiled on a device, kept in the device profile's folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import get_ident

from denoisert.runtime.bundle.document import canonical

FOLDER = "kernels"
MAX_BYTES = 2**30
DIGITS = 32
WRITABLE_BY_OTHERS = 0o022


def kernel_file(folder: Path, engine: str, device: str, library: str) -> Path:
    """Where the kernels of one engine lie; what is missing or damaged there is compiled again.

    Args:
        folder: that holds device profiles, too.
        engine: SHA-256 of the engine's file.
        device: name of the GPU.
        library: name and version of what compiled them.
    """
    key = {"engine": engine, "device": device, "library": library}
    digest = hashlib.sha256(canonical(key)).hexdigest()[:DIGITS]
    return folder / FOLDER / f"{digest}.bin"


def read_kernels(path: Path) -> bytes | None:
    """The content of a file, None where there is none that may be loaded.

    Kernels are run: a file that somebody else owns or may write is passed over.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            is_own = status.st_uid in (0, os.geteuid())
            if not is_own or status.st_mode & WRITABLE_BY_OTHERS or status.st_size > MAX_BYTES:
                return None
            return file.read()
    except OSError:
        return None


def write_kernels(path: Path, content: bytes) -> None:
    """Put kernels into a file, in one step, for this user alone.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.{get_ident()}")
    try:
        draft.write_bytes(content)
        draft.chmod(0o600)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)

"""Writes a bundle as a whole or not at all, and knows when there is nothing to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from denoisert.export.bundle.draft import Contents, Draft, remove_leftovers
from denoisert.export.bundle.exchange import install
from denoisert.export.bundle.file import check_space, make_folder
from denoisert.export.bundle.lock import lock
from denoisert.runtime.bundle.manifest import NAME, Manifest
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.errors import BundleError, DenoiseRTError

LOCK_TIMEOUT_S = 600.0
CHECKED_BYTES = 128 * 2**20


def is_current(out: str | os.PathLike[str], source: str) -> bool:
    """Whether an intact bundle of the same source lies there already.

    Files of up to 128 MiB are compared with their digests; larger ones by size, owner and
    permissions, so that the answer takes less than a second.

    Args:
        out: the bundle.
        source: fingerprint of what would be compiled.
    """
    try:
        bundle = Bundle.open(out)
        if bundle.manifest.source != source:
            return False
        for path, entry in bundle.manifest.files.items():
            if entry.size <= CHECKED_BYTES:
                bundle.verified(path)
    except BundleError:
        return False
    return True


def write_bundle(
    out: str | os.PathLike[str],
    source: str,
    fill: Callable[[Draft], Contents],
    *,
    needed_bytes: int = 0,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
) -> Manifest:
    """Write a bundle beside its place and exchange the two in one step.

    Whatever goes wrong, an error, a full disk or a killed process, the old bundle stays as it was.
    What a killed writer left is removed by the next one.

    Args:
        out: the bundle's folder; it may hold an older bundle or not exist.
        source: fingerprint of what is compiled (weights, card, options, versions), 64 hexadecimal
            digits. If an intact bundle of this source is there, it is kept and `fill` is not
            called.
        fill: writes every file into the draft and returns what the manifest says about them.
        needed_bytes: bytes that `fill` will write, checked before it starts.
        lock_timeout_s: how long another writer of the same bundle is waited for.

    Returns:
        The manifest of the bundle that is there now.

    Raises:
        BundleError: no room, no permission, another writer, or something else than a bundle at
            `out`.
        InvalidInput: contents that do not agree with the files.
    """
    try:
        target = Path(out).resolve()
        _check_target(target)
        if is_current(target, source):
            return Bundle.open(target).manifest
        make_folder(target.parent)
        with lock(target, lock_timeout_s):
            remove_leftovers(target)
            if is_current(target, source):  # the writer that we waited for made it
                return Bundle.open(target).manifest
            check_space(target.parent, needed_bytes)
            return _replace(target, source, fill)
    except DenoiseRTError:
        raise
    except OSError as error:
        raise BundleError(f"cannot write the bundle {os.fspath(out)}: {error}.") from error


def _replace(target: Path, source: str, fill: Callable[[Draft], Contents]) -> Manifest:
    draft = Draft(target)
    try:
        manifest = draft.finish(fill(draft), source)
        Bundle.open(draft.folder, expect=manifest.id)
        _check_target(target)
        install(draft.folder, target)
        _sync(target.parent)
    finally:
        draft.remove()
    return manifest


def _sync(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_target(target: Path) -> None:
    """Refuse to replace anything but a bundle or an empty folder."""
    if not os.path.lexists(target):
        return
    is_bundle = target.is_dir() and ((target / NAME).is_file() or not any(target.iterdir()))
    if not is_bundle:
        raise BundleError(
            f"{target} exists and is no bundle (it has no {NAME}); it is not replaced. Choose "
            "another name."
        )

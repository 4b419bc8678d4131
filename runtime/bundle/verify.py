"""Is a folder exactly what its manifest says? Names, kinds, sizes, owners, modes, then digests.

Engine files are executable artefacts: a library that deserialises one runs what it finds. So nobody
else may be able to write what we load, and the digest is compared before the bytes are used.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from denoisert.runtime.bundle.manifest import NAME, FileEntry
from denoisert.runtime.errors import Tampered

REPAIR = "Fetch the bundle again, or delete it and compile it again."


def scan(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield relative path and status of everything below `root`; links are not followed."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            path = f"{folder}/{name}" if folder else name
            status = os.lstat(root / path)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)


def check_tree(root: Path, files: Mapping[str, FileEntry]) -> None:
    """Compare a folder with the files that it should hold, without reading them.

    Args:
        root: the bundle.
        files: path -> entry of every file except the manifest.

    Raises:
        Tampered: a file missing, extra, no regular file, of another size, or writable by others;
            named.
    """
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    check_access("", os.stat(root))
    missing = dict(files)
    for path, status in scan(root):
        check_access(path, status)
        if stat.S_ISDIR(status.st_mode) and path in folders:
            continue
        check_regular(path, status)
        if path == NAME:
            continue
        if path not in files:
            raise Tampered(f"{path!r} is in the bundle and not in its manifest. {REPAIR}")
        check_size(path, status, files[path])
        del missing[path]
    if missing:
        raise Tampered(f"{min(missing)!r} is missing from the bundle. {REPAIR}")


def check_access(path: str, status: os.stat_result) -> None:
    """Refuse what somebody else may write.

    Args:
        path: relative to the bundle, "" for its root.
        status: of the file or folder.

    Raises:
        Tampered: owned by neither root nor this process's user, writable by all, or (for the root,
            the manifest and all engines) by the group.
    """
    name = path or "the bundle's folder"
    if status.st_uid not in (0, os.geteuid()):
        raise Tampered(
            f"{name!r} belongs to user {status.st_uid}; only files of root or of user "
            f"{os.geteuid()}, who runs this process, are loaded. Copy the bundle as this user."
        )
    if stat.S_ISLNK(status.st_mode):
        return  # its mode means nothing; links are refused by kind
    if status.st_mode & stat.S_IWOTH:
        raise Tampered(f"{name!r} is writable by everybody. Check who changed it, then chmod o-w.")
    is_executable = path in ("", NAME) or path.split("/")[0] == "engines"
    if is_executable and status.st_mode & stat.S_IWGRP:
        raise Tampered(
            f"{name!r} is writable by its group; engines are run, so only their owner may write "
            "them. Check who changed it, then chmod -R g-w."
        )


def check_regular(path: str, status: os.stat_result) -> None:
    """Refuse links, folders, devices and files that have a second name somewhere.

    Raises:
        Tampered: not a regular file with one name.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder that holds no listed file"}
        found = kind.get(stat.S_IFMT(status.st_mode), "a device, pipe or socket")
        raise Tampered(f"{path!r} is {found}; a bundle holds regular files only. {REPAIR}")
    if status.st_nlink != 1:
        raise Tampered(
            f"{path!r} has {status.st_nlink} hard links, so it can change through another name. "
            "Copy the bundle without links."
        )


def check_size(path: str, status: os.stat_result, entry: FileEntry) -> None:
    """Refuse a file that is shorter or longer than promised.

    Raises:
        Tampered: another size.
    """
    if status.st_size != entry.size:
        raise Tampered(
            f"{path!r} has {status.st_size} bytes, its manifest says {entry.size}. {REPAIR}"
        )


def check_content(root: Path, path: str, entry: FileEntry) -> os.stat_result:
    """Compare one file with its digest, reading it once.

    Returns:
        The status of the file that was read.

    Raises:
        Tampered: another digest, or not the regular file that `check_tree` saw.
        OSError: the file cannot be read.
    """
    with open(root / path, "rb", opener=open_here) as file:
        status = os.fstat(file.fileno())
        check_access(path, status)
        check_regular(path, status)
        check_size(path, status, entry)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry.sha256:
        raise Tampered(
            f"{path!r} has other bytes than the manifest says: SHA-256 {digest[:16]}... instead of "
            f"{entry.sha256[:16]}... {REPAIR}"
        )
    return status


def open_here(path: str, flags: int) -> int:
    """An opener that follows no link at the end of a path, and waits for no pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)

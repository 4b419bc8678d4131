"""One file of a foreign folder: which may be opened, and strict JSON in it.

A link could make the compiler read what the user never meant to share, so links are refused, with
one exception: the cache of Hugging Face keeps every file of `snapshots/<revision>/` as a link to
`blobs/<digest>` of the same repository. That layout is recognised by its place, and nothing else
outside the folder is reachable through it.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.bundle.document import parse
from denoisert.runtime.errors import ExportError, InvalidInput

CONFIG_BYTES: Final = 2**20
"""Longest model_index.json or config.json; those of large models have some 50 kB."""

_STRING_OR_INFINITY: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|-?\bInfinity\b', re.DOTALL)


def is_there(path: Path) -> bool:
    """Whether a folder has an entry, be it a link that leads nowhere."""
    return path.is_symlink() or path.exists()


def check_file(path: Path, root: Path) -> Path:
    """The path to open: a regular file of the folder, or of the cache that the folder lies in.

    Args:
        path: below `root`.
        root: the folder, resolved.

    Raises:
        ExportError: missing, a special file, or a link out of the folder.
    """
    place = root / path
    shown_name = place.relative_to(root).as_posix()
    try:
        target = place.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "a link that leads to itself"
        raise ExportError(f"{shown_name} cannot be read: {reason}. Is the folder whole?") from error
    if not stat.S_ISREG(mode):
        raise ExportError(f"{shown_name} is no regular file. Copy the model into a plain folder.")
    if not (target.is_relative_to(root) or target.parent == _blobs(root)):
        raise ExportError(
            f"{shown_name} is a link out of the folder. Copy the file itself to its place (cp -L); "
            "only the links of a Hugging Face cache, snapshots/ to blobs/, are followed."
        )
    return target


def _blobs(root: Path) -> Path | None:
    """Where the files of a snapshot lie, or None outside a cache."""
    is_cache = root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--")
    return root.parent.parent / "blobs" if is_cache else None


def read_bytes(path: Path, root: Path, max_bytes: int) -> bytes:
    """A file's content, not more of it than allowed.

    Raises:
        ExportError: it may not be opened, or is longer.
    """
    place = check_file(path, root)
    try:
        with place.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise ExportError(f"{path.as_posix()} cannot be read: {error.strerror}.") from error
    if len(content) > max_bytes:
        raise ExportError(
            f"{path.as_posix()} has {place.stat().st_size} bytes; at most {max_bytes} are read. "
            "This is no file of a usual model."
        )
    return content


def read_object(path: Path, root: Path, max_bytes: int = CONFIG_BYTES) -> dict[str, Any]:
    """The JSON object in a file.

    diffusers writes an unset bound as -Infinity, which is no JSON: it is read as null.

    Raises:
        ExportError: it may not be opened, is too long, too deep, no strict JSON or no object.
    """
    text = read_bytes(path, root, max_bytes)
    try:
        data = parse(_STRING_OR_INFINITY.sub(_without_infinity, text), path.as_posix(), max_bytes)
    except InvalidInput as error:
        raise ExportError(f"{error} Save the model again.") from error
    if not isinstance(data, dict):
        raise ExportError(f"{path.as_posix()} holds {shown(data)}; it must be a JSON object.")
    return data


def _without_infinity(found: re.Match[bytes]) -> bytes:
    token = found.group()
    return token if token.startswith(b'"') else b"null"

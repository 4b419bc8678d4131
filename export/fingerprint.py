"""The cache key of a compilation: SHA-256 over all that its result depends on, from bytes alone.

Nothing is imported or deserialised for it, so that compiling the same again costs no more than
reading the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

LIBRARIES: Final = (
    *("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy", "safetensors"),
    *("diffusers", "transformers", "tokenizers"),
)
"""Distributions whose version may change a graph."""

ROOMS: Final = ("export", "runtime")
"""Our own code counts by content: in a checkout it changes without a new version."""


class Fingerprint:
    """A digest of labelled pieces; their order and borders count."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, label: str, content: bytes) -> None:
        """Add one piece."""
        for piece in (label.encode(), content):
            self._digest.update(len(piece).to_bytes(8, "little"))
            self._digest.update(piece)

    def add_file(self, label: str, path: Path) -> None:
        """Add a file's content."""
        with path.open("rb") as file:
            self.add(label, hashlib.file_digest(file, "sha256").digest())

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._digest.hexdigest()


def compiler_version() -> str:
    """Name and version of this compiler."""
    return f"denoisert {_version('denoisert')}"


def add_compiler(fingerprint: Fingerprint) -> None:
    """Add the versions of the libraries and our own source."""
    for name in LIBRARIES:
        fingerprint.add(name, _version(name).encode())
    for label, path in _sources():
        fingerprint.add_file(label, path)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _sources() -> Iterator[tuple[str, Path]]:
    root = Path(__file__).parent.parent
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path

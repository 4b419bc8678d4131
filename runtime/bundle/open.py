"""An opened bundle: structure is checked at once, the bytes of a file before their first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.document import MAX_BYTES
from denoisert.runtime.bundle.manifest import NAME, Manifest
from denoisert.runtime.bundle.verify import (
    check_access,
    check_content,
    check_regular,
    check_tree,
)
from denoisert.runtime.bundle.weights import read_header
from denoisert.runtime.errors import BundleError, InvalidInput, ManifestMismatch

ATTEMPTS = 5  # a bundle may be exchanged for a new one while it is opened
Progress = Callable[[str, int, int], None]


class Bundle:
    """A bundle on disk, as its manifest describes it.

    Use `Bundle.open`. Attributes: `root`, an absolute path; `manifest`; `id` and `card` of the
    manifest.

    Args:
        root: its folder.
        manifest: already checked against the folder.
    """

    __slots__ = ("_seen", "manifest", "root")

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self._seen: dict[str, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return f"Bundle.open({str(self.root)!r}, expect={self.id!r})"

    @property
    def id(self) -> str:
        """SHA-256 of everything in it."""
        return self.manifest.id

    @property
    def card(self) -> Card:
        """The model card."""
        return self.manifest.card

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, expect: str | None = None) -> Bundle:
        """Check the manifest and the folder against each other; no weights or engines are read yet.

        Args:
            path: the bundle's folder.
            expect: the only id that is accepted.

        Raises:
            BundleError: no bundle there, or it cannot be read.
            ManifestMismatch: another format version, or not the expected bundle.
            Tampered: the manifest, the set of files, a size, owner or permission is not as
                promised.
        """
        with _reading(path):
            root = Path(path).resolve(strict=True)
            for _ in range(ATTEMPTS):
                bundle = cls._attempt(root, expect)
                if bundle is not None:
                    return bundle
        raise BundleError(f"the bundle at {root} keeps being replaced; wait for its writers.")

    @classmethod
    def _attempt(cls, root: Path, expect: str | None) -> Bundle | None:
        """The bundle, or None where the folder was exchanged meanwhile."""
        before = os.stat(root).st_ino
        try:
            manifest = Manifest.from_json(_read_manifest(root))
            if expect is not None and manifest.id != expect:
                raise ManifestMismatch(
                    f"asked for bundle {expect}, found {manifest.id} at {root}. Open it without "
                    "`expect` if the change is meant, or restore the expected one."
                )
            check_tree(root, manifest.files)
        except OSError:  # which a BundleError is, too
            if os.stat(root).st_ino == before:
                raise
            return None
        return cls(root, manifest) if os.stat(root).st_ino == before else None

    def verified(self, path: str) -> Path:
        """Where a file lies, after its bytes were compared with the manifest.

        The digest is computed at the first use and again only if the file changed since. Weight
        files also get their header checked, which a digest made by a hostile compiler does not
        cover.

        Args:
            path: as the manifest lists it.

        Raises:
            InvalidInput: the manifest has no such file.
            Tampered: the file is not what the manifest promises, or was replaced since `open`.
            BundleError: it cannot be read any more.
        """
        entry = self.manifest.files.get(path)
        if entry is None:
            raise InvalidInput(
                f"the bundle has no file {path!r}; it has {', '.join(self.manifest.files)}."
            )
        place = self.root / path
        with _reading(place):
            if self._seen.get(path) != _identity(os.lstat(place)):
                identity = _identity(check_content(self.root, path, entry))
                if path.startswith("weights/") and path.endswith(".safetensors"):
                    read_header(place)
                self._seen[path] = identity
        return place

    def verify_all(self, progress: Progress | None = None) -> None:
        """Compare every file with the manifest.

        Args:
            progress: called after each file with its path, the bytes read so far and the bytes of
                all files.

        Raises:
            Tampered: the first difference found.
            BundleError: a file cannot be read any more.
        """
        with _reading(self.root):
            check_tree(self.root, self.manifest.files)
        total = sum(entry.size for entry in self.manifest.files.values())
        done = 0
        for path in sorted(self.manifest.files):
            self.verified(path)
            done += self.manifest.files[path].size
            if progress is not None:
                progress(path, done, total)


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a refusal of the system into an error of ours."""
    try:
        yield
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(
            f"{os.fspath(path)} cannot be read: {error.strerror}. Check the path and its "
            "permissions; if the bundle was compiled anew since it was opened, open it again."
        ) from error


def _read_manifest(root: Path) -> bytes:
    """The bytes of the manifest, of which at most the limit + 1 are read."""
    check_access("", os.stat(root))
    path = root / NAME
    if not os.path.lexists(path):
        raise BundleError(
            f"{root} has no {NAME}, so it is no bundle. Give the folder that `denoisert compile` "
            "wrote, or compile this one first if it is a model's."
        )
    status = os.lstat(path)
    check_access(NAME, status)
    check_regular(NAME, status)
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is replaced or written to."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

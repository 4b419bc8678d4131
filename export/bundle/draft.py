"""A bundle while it is written: a hidden folder beside its target that nobody else reads."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from denoisert.export.bundle.file import Chunk, make_folder, settle, write_file
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import (
    FORMAT,
    NAME,
    EngineEntry,
    FileEntry,
    GraphEntry,
    Manifest,
    check_path,
)
from denoisert.runtime.bundle.verify import check_regular, scan
from denoisert.runtime.errors import BundleError

TOKEN_BYTES = 8
SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Contents:
    """What the manifest says beyond the list of files.

    Args:
        card: the model card.
        graphs: component -> graph below graphs/.
        engines: target -> its engines below engines/<target>/.
        created_by: program and version.
    """

    card: Card
    graphs: Mapping[str, GraphEntry]
    engines: Mapping[str, EngineEntry]
    created_by: str


class Draft:
    """A folder to fill; `write_bundle` makes one and moves it into place.

    Args:
        out: the bundle that it will become. The caller holds its lock.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.parent / f".{out.name}.{secrets.token_hex(TOKEN_BYTES)}.draft"
        try:
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise BundleError(f"cannot write in {out.parent}: {error.strerror}.") from error

    def __repr__(self) -> str:
        return f"<Draft {self.folder}>"

    def path(self, relative: str) -> Path:
        """Where a library may write a file itself; the folders above it exist.

        Args:
            relative: its path in the bundle.

        Raises:
            InvalidInput: a path that leaves the bundle.
        """
        check_path(relative)
        place = self.folder / relative
        make_folder(place.parent)
        return place

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what the bundle will not hold; it goes when the block ends."""
        place = self.folder / SCRATCH
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def drop_unused(self, used: Collection[str]) -> None:
        """Delete weight files that no graph refers to.

        Args:
            used: their paths in the bundle.
        """
        for path in (self.folder / "weights").glob("*"):
            if f"weights/{path.name}" not in used:
                path.unlink()

    def write(self, relative: str, *chunks: Chunk) -> None:
        """Write one file.

        Args:
            relative: its path in the bundle, not taken yet.
            chunks: its content in order.

        Raises:
            InvalidInput: a path that leaves the bundle.
            BundleError: the disk is full or refuses.
        """
        write_file(self.path(relative), chunks)

    def finish(self, contents: Contents, source: str) -> Manifest:
        """Hash every file, write the manifest, and wait until the disk has all of it.

        Args:
            contents: what the manifest says.
            source: fingerprint of what was compiled, 64 hexadecimal digits.

        Raises:
            InvalidInput: contents that do not agree with the files.
            BundleError: a link or device in the folder, or the disk refuses.
        """
        files, folders = self._entries()
        manifest = Manifest(
            format=FORMAT,
            id="",
            source=source,
            created_by=contents.created_by,
            card=contents.card,
            graphs=contents.graphs,
            engines=contents.engines,
            files=files,
        ).with_id()
        self.write(NAME, manifest.to_json())
        for folder in (*reversed(folders), ""):
            settle(self.folder / folder)
        return manifest

    def _entries(self) -> tuple[dict[str, FileEntry], list[str]]:
        """Entry of every file, and the folders from outer to inner."""
        files: dict[str, FileEntry] = {}
        folders: list[str] = []
        for path, status in scan(self.folder):
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
                continue
            check_regular(path, status)
            settle(self.folder / path)
            files[path] = _measure(self.folder / path)
        return files, folders

    def remove(self) -> None:
        """Delete the folder, whatever has its name by now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _measure(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(digest, file.tell())


def remove_leftovers(out: Path) -> None:
    """Delete the drafts of compilers that were killed; the caller holds the lock, so none is alive.

    Args:
        out: the bundle whose drafts are meant.
    """
    form = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{{2 * TOKEN_BYTES}}}\.draft")
    for path in out.parent.iterdir():
        if form.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)

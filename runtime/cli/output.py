"""Where `generate` writes: checked before any work, every file replaced in one step."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from denoisert.runtime.errors import InvalidInput

LONGEST_STEM = 80

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Ends of names that are no folder's."""


@dataclass(frozen=True, slots=True)
class Output:
    """The places that a run writes to; None means not asked for.

    Args:
        folder: of single pictures; made when missing.
        grid: one picture of all.
        latents: arrays of every picture's final state.
        trace: spans of the run.
        format: of single pictures: "png", "jpeg" or "webp".
    """

    folder: Path | None
    grid: Path | None
    latents: Path | None
    trace: Path | None
    format: str = "png"

    @classmethod
    def of(cls, args: argparse.Namespace) -> Output:
        """The places in the options; without any, pictures go to the current folder."""
        is_said = args.out or args.grid or args.latents
        folder = args.out if is_said else Path()
        return cls(folder, args.grid, args.latents, args.trace, args.format)

    @property
    def has_pictures(self) -> bool:
        """Whether anything here needs pixels."""
        return self.folder is not None or self.grid is not None

    def check(self, bundle: Path) -> None:
        """Refuse places that cannot be written to, before work starts.

        Args:
            bundle: the bundle's folder, which must stay as it is.

        Raises:
            InvalidInput: a wrong suffix, a folder that is missing or not writable, or a place in
            the bundle.
        """
        files = {"--grid": self.grid, "--latents": self.latents, "--trace": self.trace}
        suffixes = {"--grid": ".png", "--latents": ".npz", "--trace": ".json"}
        for option, path in files.items():
            check_place(option, path, suffixes[option], bundle)
        if self.folder is not None:
            is_new = not os.path.lexists(self.folder)
            if is_new and self.folder.suffix.lower() in PICTURES:
                raise InvalidInput(
                    f"--out {self.folder} is the folder of single pictures, and looks like a file. "
                    "Give a folder, or --grid FILE.png for one picture of all."
                )
            _check_folder("--out", self.folder.absolute().parent if is_new else self.folder)
            _check_outside("--out", self.folder, bundle)

    def pictures(self, names: Sequence[str], images: int) -> list[list[Path]]:
        """Paths of all single pictures.

        Args:
            names: one per request.
            images: pictures of each.

        Returns:
            One list per request, empty lists when no single pictures are asked for.

        Raises:
            InvalidInput: the grid would replace one of them.
        """
        if self.folder is None:
            return [[] for _ in names]
        suffix = "jpg" if self.format == "jpeg" else self.format
        paths = [[self.folder / f"{name}-{i}.{suffix}" for i in range(images)] for name in names]
        if self.grid is not None and self.grid.resolve() in {
            path.resolve() for row in paths for path in row
        }:
            raise InvalidInput(f"--grid {self.grid} is also the name of a picture; choose another.")
        return paths


def stems(conditions: Sequence[str], seed: int) -> list[str]:
    """File names of requests, `<condition>-<seed>`, each different.

    Letters, digits, "." and "_" stay, anything else becomes "_"; what then is equal gets a number.

    Args:
        conditions: as they were typed.
        seed: of all requests.
    """
    taken: dict[str, None] = {}
    for condition in conditions:
        plain = re.sub(r"[^\w.]", "_", condition)[:LONGEST_STEM].lstrip(".") or "_"
        names = (f"{plain}.{again}-{seed}" if again else f"{plain}-{seed}" for again in _counted())
        taken[next(name for name in names if name not in taken)] = None
    return list(taken)


def _counted() -> Iterator[int]:
    """0 for the first, then 2, 3, ..."""
    number = 0
    while True:
        yield number
        number = max(number + 1, 2)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Write a file beside its place, then put it there in one step.

    Args:
        path: an older file there stays whole until the new one is.

    Yields:
        Where to write; removed when the work inside the `with` fails.
    """
    draft = path.with_name(f".{path.stem[:LONGEST_STEM]}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def check_place(option: str, path: Path | None, suffix: str, bundle: Path) -> None:
    """Refuse a file that cannot be written, before any work.

    Args:
        option: that names it, for errors.
        path: the file, None where the option was not given.
        suffix: that it must have.
        bundle: a bundle's folder, which must stay as it is.

    Raises:
        InvalidInput: a wrong suffix, a folder that is missing or not writable, or a place in the
            bundle.
    """
    if path is not None:
        _check_file(option, path, suffix)
        _check_outside(option, path, bundle)


def _check_file(option: str, path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise InvalidInput(f"{option} {path} must end in {suffix}.")
    if path.is_dir():
        raise InvalidInput(f"{option} {path} is a folder; give a file's name.")
    _check_folder(option, path.parent)


def _check_folder(option: str, folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidInput(f"{option}: {folder} is not a folder. Make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput(f"{option}: {folder} cannot be written to. Choose another folder.")


def _check_outside(option: str, path: Path, bundle: Path) -> None:
    if path.resolve().is_relative_to(bundle.resolve()):
        raise InvalidInput(
            f"{option} {path} lies in the bundle, which would no longer verify. Choose another "
            "place."
        )

"""Verbs that other packages bring: entry points of the group `denoisert.verbs`.

So the command belongs to the runtime and no arrow runs from the runtime to the compiler. An entry
point is a function `add(subparsers)` that adds one parser and sets its default `func`, which takes
the parsed arguments and returns the exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

GROUP = "denoisert.verbs"
COMPILE = "compile"
NO_PREFIX = "\0"  # every word of an absent verb is taken as it is, options too


def add_installed(subparsers: Subparsers, taken: Collection[str]) -> None:
    """Add the verbs that are installed, and `compile` in any case.

    Args:
        subparsers: where they go.
        taken: names that are not given away.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in taken}
    for name in sorted({COMPILE, *found}):
        entry = found.get(name)
        add = _absent(name, "no package brings it") if entry is None else _loaded(entry)
        add(subparsers)


def _loaded(entry: EntryPoint) -> Callable[[Subparsers], None]:
    """The function that adds a verb, or one that says why it is missing."""
    try:
        add: Callable[[Subparsers], None] = entry.load()
    except (ImportError, AttributeError) as error:
        return _absent(entry.name, str(error))
    return add


def _absent(name: str, reason: str) -> Callable[[Subparsers], None]:
    """A verb that only says what to install."""

    def refuse(_: argparse.Namespace) -> int:
        raise ExportError(
            f"`denoisert {name}` is not installed here ({reason}). Run: pip install "
            "'denoisert[export]'"
        )

    def add(subparsers: Subparsers) -> None:
        parser = subparsers.add_parser(
            name, help="(not installed)", add_help=False, prefix_chars=NO_PREFIX
        )
        parser.add_argument("words", nargs="*")
        parser.set_defaults(func=refuse)

    return add

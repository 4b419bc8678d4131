"""What other packages bring to the command: entry points of two groups.

So the command belongs to the runtime and no arrow runs from the runtime to the compiler. One of
`denoisert.verbs` is a function `add(subparsers)` that adds one parser and sets its default `func`,
which takes the parsed arguments and returns the exit code. One of `denoisert.checks` is a function
`check(bundle, say)` that looks at a bundle more closely than `verify` alone can.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from denoisert.runtime.bundle.open import Bundle

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

    Check = Callable[[Bundle, Callable[[str], None]], bool]

GROUP = "denoisert.verbs"
CHECKS = "denoisert.checks"
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


def installed_check(name: str) -> Check:
    """A check of bundles that another package brings.

    Args:
        name: of the entry point.

    Returns:
        A function of a bundle and of what is called with every line that it finds; it answers
        whether the bundle passes.

    Raises:
        ExportError: no package brings it, or it cannot be loaded.
    """
    found = {entry.name: entry for entry in entry_points(group=CHECKS)}
    if name not in found:
        raise _missing(f"verify --{name}", "no package brings it")
    try:
        check: Check = found[name].load()
    except (ImportError, AttributeError) as error:
        raise _missing(f"verify --{name}", str(error)) from error
    return check


def _missing(words: str, reason: str) -> ExportError:
    return ExportError(
        f"`denoisert {words}` is not installed here ({reason}). Run: pip install "
        "'denoisert[export]'"
    )


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
        raise _missing(name, reason)

    def add(subparsers: Subparsers) -> None:
        parser = subparsers.add_parser(
            name, help="(not installed)", add_help=False, prefix_chars=NO_PREFIX
        )
        parser.add_argument("words", nargs="*")
        parser.set_defaults(func=refuse)

    return add

"""`denoisert verify`: every file of a bundle against its manifest, and its engines if asked."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli.progress import progress
from denoisert.runtime.cli.verbs import installed_check
from denoisert.runtime.errors import BundleError, Tampered

if TYPE_CHECKING:
    from denoisert.runtime.bundle.open import Bundle
    from denoisert.runtime.cli.verbs import Subparsers

LARGE_BYTES = 64 * 2**20


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "verify",
        help="compare every file of a bundle with its manifest",
        description="Compare every file of a bundle with its manifest; exit code 1 on damage, and "
        "with --parity on an engine that answers otherwise than its graph.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--expect", metavar="ID", help="the only bundle id that is accepted")
    parser.add_argument(
        "--parity",
        action="store_true",
        help="then run every engine that runs here on new random inputs, against the bundle's "
        "graph in float32, and its lanes alone and in batches",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print a line for each file, and with --parity for each engine.

    Args:
        args: parsed options.

    Returns:
        0; 1 where an engine is beyond the bound of its dtype.

    Raises:
        Tampered: something differs from the manifest; every file was looked at first.
        ExportError: --parity needs the compiler, which is not installed.
    """
    check = installed_check("parity") if args.parity else None
    bundle, problem = _opened(args.bundle, args.expect)
    states = _compare(bundle)
    for path, found in states.items():
        print(f"{'DAMAGED' if found else 'OK':<8} {path}{f'  {found}' if found else ''}")
    damaged = [found for found in states.values() if found]
    if problem or damaged:
        raise Tampered(problem or damaged[0])
    print(f"{len(states)} files are as bundle {bundle.id} promises.")
    return 0 if check is None or check(bundle, print) else 1


def _opened(path: Path, expect: str | None) -> tuple[Bundle, str]:
    """The bundle and what is wrong with its folder; a damaged manifest ends it here."""
    from denoisert.runtime.bundle.document import MAX_BYTES
    from denoisert.runtime.bundle.manifest import NAME, Manifest
    from denoisert.runtime.bundle.open import Bundle
    from denoisert.runtime.bundle.verify import check_regular

    try:
        return Bundle.open(path, expect=expect), ""
    except Tampered as error:
        root = path.resolve()
        check_regular(NAME, os.lstat(root / NAME))
        with (root / NAME).open("rb") as file:
            return Bundle(root, Manifest.from_json(file.read(MAX_BYTES + 1))), str(error)


def _compare(bundle: Bundle) -> dict[str, str]:
    """What is wrong with each file, "" where nothing is."""
    files = bundle.manifest.files
    total = sum(entry.size for entry in files.values())
    states, done = {}, 0
    with ExitStack() as stack:
        is_large = total >= LARGE_BYTES
        report = stack.enter_context(progress("verifying", "B")) if is_large else None
        for path in sorted(files):
            try:
                bundle.verified(path)
                states[path] = ""
            except BundleError as error:
                states[path] = str(error)
            done += files[path].size
            if report is not None:
                report(done, total)
    return states

"""`denoisert verify`: every file of a bundle against its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.runtime.cli.verbs import Subparsers


def add(subparsers: Subparsers) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "verify",
        help="compare every file of a bundle with its manifest",
        description="Compare every file of a bundle with its manifest; exit status 1 on damage.",
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--expect", metavar="ID", help="the bundle id that is wanted")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify as the command line says."""
    from denoisert.runtime.bundle.open import Bundle

    bundle = Bundle.open(arguments.bundle, expect=arguments.expect)
    bundle.verify_all(lambda path, done, total: print(f"ok  {path}"))
    size = sum(entry.size for entry in bundle.manifest.files.values())
    print(f"{len(bundle.manifest.files)} files, {size} bytes, as promised. id {bundle.id}")
    return 0

"""The command `denoisert`: one verb a file; other rooms add theirs through entry points."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version

from denoisert.runtime.errors import DenoiseRTError, InvalidInput

VERBS = "denoisert.verbs"
WRONG_INPUT = 2
FAILED = 1
INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The command's parser with every verb that is installed."""
    from denoisert.runtime.cli import doctor, generate, inspect, verify

    parser = argparse.ArgumentParser(
        prog="denoisert", description="Compile diffusion models into bundles and run them."
    )
    parser.add_argument("--version", action="version", version=version("denoisert"))
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for entry in sorted(entry_points(group=VERBS), key=lambda entry: entry.name):
        entry.load()(verbs)
    for verb in (generate, inspect, verify, doctor):
        verb.add(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        Exit status: 0, 1 for a failure, 2 for wrong input, 130 after Ctrl-C.
    """
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.func(arguments)
        sys.stdout.flush()
    except DenoiseRTError as error:
        print(f"denoisert: {type(error).__name__}: {error}", file=sys.stderr)
        return WRONG_INPUT if isinstance(error, InvalidInput) else FAILED
    except KeyboardInterrupt:
        print("denoisert: interrupted; nothing half-written is left", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away; keep Python from flushing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status

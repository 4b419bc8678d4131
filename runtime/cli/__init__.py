"""The `denoisert` command: one file a verb, and nothing heavy imported before a verb runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from denoisert.runtime.cli import (
    bench,
    compare,
    doctor,
    generate,
    inspect,
    plan,
    schedule,
    solver,
    verify,
    warm,
)
from denoisert.runtime.cli.parser import Parser
from denoisert.runtime.cli.verbs import add_installed
from denoisert.runtime.errors import DenoiseRTError, InvalidInput

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

VERBS = {
    "generate": generate,
    "plan": plan,
    "bench": bench,
    "compare": compare,
    "schedule": schedule,
    "solver": solver,
    "warm": warm,
    "inspect": inspect,
    "verify": verify,
    "doctor": doctor,
}
EXTRAS = {
    "onnxruntime": "cpu",
    "torch": "export",
    "onnx": "export",
    "onnxscript": "export",
    "safetensors": "export",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: its words, by default those of the process.

    Returns:
        The exit code: 0, 1 for a failure, 2 for a request that cannot be honoured, 130 after
        Ctrl-C.

    Raises:
        SystemExit: from argparse, after help (0) or words it does not know (2).
    """
    try:
        args = build_parser().parse_args(argv)
        code = int(args.func(args) or 0)
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_pipe()
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except ModuleNotFoundError as error:
        return _complain(_absent_module(error), FAILED)
    except (DenoiseRTError, OSError) as error:
        code = MISUSED if isinstance(error, InvalidInput) else FAILED
        return _complain(f"{type(error).__name__}: {error}", code)
    return code


def build_parser() -> argparse.ArgumentParser:
    """The parser with every verb, those that other packages install included."""
    parser = Parser(
        prog="denoisert",
        description="Compile diffusion models ahead of time, run them, and look inside.",
        epilog="`denoisert VERB --help` explains a verb.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.set_defaults(func=lambda args: _answer(args, parser))
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB")
    add_installed(subparsers, taken=VERBS)
    for verb in VERBS.values():
        verb.add(subparsers)
    return parser


def _answer(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """What the command does without a verb."""
    if args.version:
        print(f"denoisert {version('denoisert')}")
        return 0
    parser.print_help(sys.stderr)
    return MISUSED


def _complain(message: str, code: int) -> int:
    """One line on stderr, whatever is in the message."""
    print(f"denoisert: {' '.join(message.split())}", file=sys.stderr)
    return code


def _absent_module(error: ModuleNotFoundError) -> str:
    """What to install for a library that is missing.

    Raises:
        ModuleNotFoundError: the module is not one that an extra of DenoiseRT brings.
    """
    extra = EXTRAS.get((error.name or "").split(".", maxsplit=1)[0])
    if extra is None:
        raise error
    return f"{error.name} is not installed. Run: pip install 'denoisert[{extra}]'"


def _leave_pipe() -> int:
    """The reader of stdout has gone, as in `| head`: say nothing, also not at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return BROKEN_PIPE

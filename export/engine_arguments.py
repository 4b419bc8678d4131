"""What the command line says about engines: targets, shapes, memory, and where they are kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from denoisert.export.options import EngineOptions
from denoisert.runtime.cli.cache import default_cache
from denoisert.runtime.engines.target import COMPILED, EngineTarget, read_target
from denoisert.runtime.errors import InvalidInput


def add(parser: argparse.ArgumentParser) -> None:
    """What to compile for, and how.

    Args:
        parser: of the verb.
    """
    group = parser.add_argument_group("engines")
    known = "; ".join(f"{name}: {', '.join(kind.dtypes)}" for name, kind in COMPILED.items())
    group.add_argument(
        "--target",
        action="append",
        type=_target,
        metavar="NAME[:DTYPE]",
        help=f"where the model will run; may be repeated (default: onnxruntime). {known}",
    )
    group.add_argument(
        "--batch",
        type=_lanes,
        default=EngineOptions().lanes,
        metavar="N-M",
        help="least and most network evaluations in one call, of which a picture with guidance "
        "takes two (default: 1-16)",
    )
    group.add_argument(
        "--static",
        action="append",
        type=read_size,
        default=[],
        metavar="HxW",
        help="a size that gets a profile without any open axis, too, for one picture with guidance",
    )
    group.add_argument(
        "--capability",
        action="append",
        default=[],
        metavar="N.N",
        help="compute capability of the GPUs to compile for; may be repeated (default: all that "
        "the library supports)",
    )
    _add_build(group)


def options(arguments: argparse.Namespace) -> EngineOptions:
    """What was asked for, but the targets.

    Args:
        arguments: parsed.
    """
    return EngineOptions(
        arguments.batch,
        tuple(arguments.static),
        tuple(arguments.capability),
        arguments.cache or default_cache(),
        arguments.memory,
        arguments.report,
    )


def _add_build(group: argparse._ArgumentGroup) -> None:
    """What building may take, and what it tells."""
    group.add_argument(
        "--memory",
        type=_gib,
        metavar="GIB",
        help="what the compilers of engines may take together (default: what is free)",
    )
    group.add_argument(
        "--report",
        type=int,
        nargs="?",
        const=3,
        default=0,
        metavar="N",
        help="print what a half type costs layer by layer, with what each of the worst N brings "
        "back in float32 (default: 3)",
    )
    group.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keeps engines (default: the user's cache)"
    )


def read_size(text: str) -> tuple[int, int]:
    """Height and width as in 512x768; one number means both.

    Raises:
        ArgumentTypeError: the text is neither.
    """
    pieces = text.split("x")
    if len(pieces) > 2 or not all(piece.isdecimal() for piece in pieces):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 64x64 or 64")
    return int(pieces[0]), int(pieces[-1])


def _lanes(text: str) -> tuple[int, int]:
    """Least and most, as in 1-8; one number means both."""
    least, dash, most = text.partition("-")
    last = most if dash else least
    if not least.isdecimal() or not last.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no batch; write 1-8 or 2")
    return int(least), int(last)


def _gib(text: str) -> int:
    try:
        return int(float(text) * 2**30)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GiB") from error


def _target(text: str) -> EngineTarget:
    try:
        return read_target(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error

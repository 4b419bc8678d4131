"""The verbs `compile` and `probe` of the command `denoisert`, found by its entry point."""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisert.export.lora.lora import Lora, read_lora
from denoisert.export.options import (
    CompileOptions,
    EngineOptions,
    Progress,
    Size,
    size_range,
)
from denoisert.export.probe import command as probe
from denoisert.runtime.cli.cache import default_cache
from denoisert.runtime.engines.target import COMPILED, EngineTarget, read_target
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.export.options import Compiled, Report


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command's parser."""
    probe.add(subparsers)
    parser = subparsers.add_parser(
        "compile",
        help="turn a model into a bundle",
        description="Compile a model into a bundle and check it against the model.",
    )
    _add_model(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument(
        "--size",
        action="append",
        type=_sizes,
        default=[],
        metavar="HxW,...",
        help="pixels of a picture (default: as trained), or HxW:HxW for every size between two in "
        "steps of 64; may be repeated, the first is the default",
    )
    parser.add_argument(
        "--tile",
        type=_size,
        metavar="HxW",
        help="latent positions that a decoder takes at once (default: all, at most 64x64)",
    )
    parser.add_argument(
        "--lora",
        action="append",
        type=_lora,
        default=[],
        metavar="FILE[:WEIGHT]",
        help="merge a LoRA with a weight (default: 1); may be repeated",
    )
    _add_engines(parser)
    parser.set_defaults(func=run)


def _add_engines(parser: argparse.ArgumentParser) -> None:
    """What to compile for, and how."""
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
        type=_size,
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


def _add_model(parser: argparse.ArgumentParser) -> None:
    """What is compiled, and what has to be told about it."""
    parser.add_argument(
        "model",
        help="folder of a model, one safetensors file with --config, name of a zoo model (digits, "
        "emoji), or ONNX file",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FOLDER",
        help="configurations and tokenizers of a model in one safetensors file, as diffusers "
        "saves them; nothing is downloaded",
    )
    parser.add_argument("--card", type=Path, help="card.json; needed for an ONNX file")


def run(arguments: argparse.Namespace) -> int:
    """Compile as the command line says.

    Returns:
        The exit status, 0; errors of our tree are the command's to print.
    """
    from denoisert.export.compile import compile_bundle
    from denoisert.export.sources.source import read_card

    card = None if arguments.card is None else read_card(arguments.card)
    engines = EngineOptions(
        arguments.batch,
        tuple(arguments.static),
        tuple(arguments.capability),
        arguments.cache or default_cache(),
        arguments.memory,
        arguments.report,
    )
    options = CompileOptions(
        tuple(arguments.target or CompileOptions().targets),
        sizes=tuple(chain.from_iterable(arguments.size)),
        tile=arguments.tile,
        loras=tuple(arguments.lora),
        config=arguments.config,
        engines=engines,
    )
    with _Display(sys.stderr.isatty()) as display:
        compiled = compile_bundle(
            arguments.model, arguments.out, card=card, options=options, progress=display.show
        )
    for line in summarise(compiled):
        print(line)
    return 0


def summarise(compiled: Compiled) -> list[str]:
    """The result as lines of text."""
    if compiled.is_cached:
        return [f"{compiled.path}: unchanged, nothing to do (id {compiled.id[:16]})"]
    total_s = sum(compiled.phases_ms.values()) / 1e3
    lines = [f"{compiled.path}: compiled in {total_s:.1f} s (id {compiled.id[:16]})"]
    lines += [
        f"parity {entry.component} {entry.graph} {entry.output}: relative error "
        f"{entry.relative_error:.1e}"
        for entry in compiled.parity
    ]
    lines += [each.text() for each in compiled.reports]
    return [*lines, *(f"note: {note}" for note in compiled.notes)]


def _size(text: str) -> tuple[int, int]:
    """Height and width as in 512x768; one number means both."""
    pieces = text.split("x")
    if len(pieces) > 2 or not all(piece.isdecimal() for piece in pieces):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 64x64 or 64")
    return int(pieces[0]), int(pieces[-1])


def _sizes(text: str) -> tuple[Size, ...]:
    """Sizes and ranges of sizes as in 512x512,768x512:1024x1024."""
    found: list[Size] = []
    for piece in text.split(","):
        least, colon, most = piece.partition(":")
        try:
            found += size_range(_size(least), _size(most)) if colon else [_size(piece)]
        except InvalidInput as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return tuple(dict.fromkeys(found))


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


def _lora(text: str) -> Lora:
    try:
        return read_lora(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class _Display:
    """A bar on a terminal, plain lines elsewhere; both on stderr."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._bar: Any = None
        self._told: set[str] = set()

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def show(self) -> Report:
        """What to call when a phase begins."""
        return self._draw if self._is_terminal else self._print

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=progress.count, unit="phase", leave=False)
        self._bar.set_description(progress.phase)
        self._bar.n = progress.index
        self._bar.refresh()

    def _print(self, progress: Progress) -> None:
        """A line for every phase, and one for every compiler, which may have hundreds of steps."""
        name, colon, _ = progress.phase.partition(":")
        if progress.index < progress.count and not (colon and name in self._told):
            self._told.add(name)
            print(f"[{progress.index + 1}/{progress.count}] {name}", file=sys.stderr)

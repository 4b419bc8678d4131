"""The verbs `compile` and `probe` of the command `denoisert`, found by its entry point."""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisert.export import engine_arguments
from denoisert.export.engine_arguments import read_size
from denoisert.export.lora.lora import Lora, read_lora
from denoisert.export.options import CompileOptions, Progress, Size, size_range
from denoisert.export.probe import command as probe
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
        type=read_size,
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
    engine_arguments.add(parser)
    parser.set_defaults(func=run)


def _add_model(parser: argparse.ArgumentParser) -> None:
    """What is compiled, and what has to be told about it."""
    parser.add_argument(
        "model",
        help="folder of a model, one safetensors file with --config, name of a zoo model (digits, "
        "emoji), ONNX file, or a bundle that is to have other engines",
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
    options = CompileOptions(
        tuple(arguments.target or CompileOptions().targets),
        sizes=tuple(chain.from_iterable(arguments.size)),
        tile=arguments.tile,
        loras=tuple(arguments.lora),
        config=arguments.config,
        engines=engine_arguments.options(arguments),
    )
    with _Display(sys.stderr.isatty()) as display:
        compiled = compile_bundle(
            arguments.model,
            arguments.out,
            card=card,
            options=options,
            progress=display.show,
            before=lambda need: print(need, file=sys.stderr),
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
    lines += [
        f"engine {name}: {built} (expected {compiled.expected[name]})"
        for name, built in compiled.built.items()
    ]
    lines += [each.text() for each in compiled.reports]
    return [*lines, *(f"note: {note}" for note in compiled.notes)]


def _sizes(text: str) -> tuple[Size, ...]:
    """Sizes and ranges of sizes as in 512x512,768x512:1024x1024."""
    found: list[Size] = []
    for piece in text.split(","):
        least, colon, most = piece.partition(":")
        try:
            found += size_range(read_size(least), read_size(most)) if colon else [read_size(piece)]
        except InvalidInput as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return tuple(dict.fromkeys(found))


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

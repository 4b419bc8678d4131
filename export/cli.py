"""The verbs `compile` and `probe` of the command `denoisert`, found by its entry point."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisert.export.lora.lora import Lora, read_lora
from denoisert.export.options import TARGETS, CompileOptions, Progress
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
        "--target",
        action="append",
        choices=TARGETS,
        help="where the engine will run; may be repeated (default: onnxruntime)",
    )
    parser.add_argument(
        "--size",
        action="append",
        type=_size,
        default=[],
        metavar="HxW",
        help="pixels of a picture (default: as trained); may be repeated, the first is the default",
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
    parser.set_defaults(func=run)


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
    targets = tuple(arguments.target or TARGETS[:1])
    options = CompileOptions(
        targets,
        sizes=tuple(arguments.size),
        tile=arguments.tile,
        loras=tuple(arguments.lora),
        config=arguments.config,
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
    return [*lines, *(f"note: {note}" for note in compiled.notes)]


def _size(text: str) -> tuple[int, int]:
    """Height and width as in 512x768; one number means both."""
    pieces = text.split("x")
    if len(pieces) > 2 or not all(piece.isdecimal() for piece in pieces):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 64x64 or 64")
    return int(pieces[0]), int(pieces[-1])


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

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def show(self) -> Report:
        """What to call when a phase begins."""
        return self._draw if self._is_terminal else _print_phase

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=progress.count, unit="phase", leave=False)
        self._bar.set_description(progress.phase)
        self._bar.n = progress.index
        self._bar.refresh()


def _print_phase(progress: Progress) -> None:
    if progress.index < progress.count:
        print(f"[{progress.index + 1}/{progress.count}] {progress.phase}", file=sys.stderr)

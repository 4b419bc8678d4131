"""`denoisert generate`: conditions in, pictures out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from denoisert.runtime.cli.progress import Progress
from denoisert.runtime.cli.sampler import add_sampler, read_sampler

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.request import Condition, Request, Value
    from denoisert.runtime.result import Result


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = verbs.add_parser(
        "generate",
        help="make pictures from a bundle",
        description="Make pictures from a bundle. Older files of the same name are replaced.",
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "conditions",
        nargs="*",
        metavar="CONDITION",
        help="a class number or label; each is one request",
    )
    parser.add_argument("--negative", metavar="CONDITION", help="what the uncond branch is told")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="per condition")
    add_sampler(parser)
    files = parser.add_argument_group("files", "by default pictures go to the current folder")
    files.add_argument("--out", type=Path, metavar="FOLDER", help="single pictures, as PNG")
    files.add_argument("--grid", type=Path, metavar="FILE", help="one picture of all")
    files.add_argument("--latents", type=Path, metavar="FILE.npz", help="final states")
    files.add_argument("--trace", type=Path, metavar="FILE.json", help="Chrome trace")
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores allowed")
    parser.add_argument("--slots", type=int, default=8, metavar="N", help="pictures at a time")
    parser.add_argument("--expect", metavar="ID", help="the bundle id that is wanted")
    parser.add_argument("--plan", action="store_true", help="show the plan and stop")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Generate as the command line says."""
    _check_files(arguments)
    start = perf_counter()
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.runtime import Runtime

    choices = read_sampler(arguments)
    trace = Trace() if arguments.trace else None
    with Runtime.open(
        arguments.bundle, expect=arguments.expect, threads=arguments.threads, slots=arguments.slots
    ) as runtime:
        opened = perf_counter()
        names, requests = _requests(arguments, runtime.card, choices)
        print(runtime.plan(requests[0]))
        if arguments.plan:
            return 0
        with Progress("stages") as progress:
            results = runtime.generate(requests, progress=progress.show, trace=trace)
    done = perf_counter()
    failed = [result.error for result in results if result.error is not None]
    _write(arguments, names, results, trace)
    count = sum(len(result.flat) for result in results)
    engine_s = results[0].phases["engine"] / 1e3
    print(
        f"open {opened - start:.2f} s, generate {done - opened:.2f} s (engine {engine_s:.2f} s), "
        f"{count} pictures, {count / (done - opened):.1f} pictures/s"
    )
    for error in failed:
        print(f"denoisert: {type(error).__name__}: {error}", file=sys.stderr)
    return 1 if failed else 0


def _check_files(arguments: argparse.Namespace) -> None:
    """Refuse what could not be written, before anything is loaded."""
    from denoisert.runtime.errors import InvalidInput
    from denoisert.runtime.pictures import SUFFIXES, check_target

    wanted = ((arguments.grid, SUFFIXES), (arguments.latents, (".npz",)))
    for path, suffixes in (*wanted, (arguments.trace, (".json",))):
        if path is not None:
            check_target(path, suffixes)
    if arguments.out is not None and arguments.out.exists() and not arguments.out.is_dir():
        raise InvalidInput(f"--out {arguments.out} is a file; name a folder.")


def _requests(
    arguments: argparse.Namespace, card: Card, choices: Any
) -> tuple[list[str], list[Request]]:
    from denoisert.runtime.errors import InvalidInput
    from denoisert.runtime.request import Condition, Request

    words = arguments.conditions or ([] if card.conditions else [None])
    if not words:
        raise InvalidInput(
            f"{card.name} is conditional; name at least one condition, such as 0 or a label."
        )
    negative = _value(arguments.negative)

    def told(word: str | None) -> Condition:
        return Condition(_value(word), negative)

    requests = [
        Request(told(word), seed=arguments.seed, images=arguments.images, **choices)
        for word in words
    ]
    return [word or card.name for word in words], requests


def _value(word: str | None) -> Value:
    """A number on the command line is a class, anything else a label."""
    is_number = word is not None and word.removeprefix("-").isdecimal()
    return int(word) if is_number and word is not None else word


def _write(
    arguments: argparse.Namespace,
    names: Sequence[str],
    results: Sequence[Result],
    trace: Trace | None,
) -> None:
    import numpy as np

    from denoisert.runtime.pictures import grid, save, write_whole

    good = [(name, result) for name, result in zip(names, results, strict=True) if not result.error]
    if trace is not None:
        trace.write(arguments.trace)
        print(f"trace    {arguments.trace}")
    if good and arguments.latents:
        arrays = {
            f"{index}-{name}-{part}": values
            for index, (name, result) in enumerate(good)
            for part, values in result.latents.items()
        }
        write_whole(arguments.latents, lambda file: np.savez(file, **arrays))
        print(f"latents  {arguments.latents}")
    if good and arguments.grid:
        save(grid([result.images for _, result in good]), arguments.grid)
        print(f"grid     {arguments.grid}")
    if arguments.out or not (arguments.grid or arguments.latents):
        folder = arguments.out or Path()
        folder.mkdir(parents=True, exist_ok=True)
        for name, result in good:
            for index, picture in enumerate(result.images):
                path = folder / f"{_file_name(name)}-{arguments.seed}-{index}.png"
                save(picture, path)
                print(f"picture  {path}")


def _file_name(name: str) -> str:
    """A label as part of a file name: no separators, no hidden files."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)

"""`denoisert generate`: every condition is one request, all of them run together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place, refiner, sampler, told
from denoisert.runtime.cli import start as starts
from denoisert.runtime.cli.cache import default_cache
from denoisert.runtime.cli.output import Output, replaced, stems
from denoisert.runtime.cli.progress import progress
from denoisert.runtime.cli.size import read_size
from denoisert.runtime.errors import DenoiseRTError, InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.programs.refine import Refined
    from denoisert.runtime.request import Request
    from denoisert.runtime.result import Result
    from denoisert.runtime.runtime import Runtime

NS_PER_MS = 1e6
MS_PER_S = 1e3
SHOWN_FILES = 8
SHOWN_CHARACTERS = 40
UNCONDITIONAL = "picture"
CHANNELS = (1, 3)
FORMATS = ("png", "jpeg", "webp")


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "generate",
        help="make pictures with a bundle",
        description="Make pictures. Each CONDITION is one request; all run together. "
        "Files that exist are replaced.",
        epilog="Without --out, --grid and --latents, pictures go to the current folder.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "conditions",
        nargs="*",
        default=[],
        metavar="CONDITION",
        help="a prompt; for a class-conditional model a class's number or name",
    )
    told.add_options(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="0 (default) to 2^64 - 1")
    parser.add_argument(
        "--images", type=int, default=1, metavar="N", help="pictures per condition, default 1"
    )
    parser.add_argument(
        "--size",
        type=read_size,
        metavar="HxW",
        help="pixels of a picture, one of the sizes that `inspect` lists; default: that of "
        "--init-image, else the first",
    )
    starts.add_options(parser)
    refiner.add_options(parser)
    sampler.add_options(parser)
    _add_files(parser)
    run_group = parser.add_argument_group("run")
    place.add_options(run_group)
    run_group.add_argument("--threads", type=int, metavar="N", help="default: all allowed cores")
    run_group.add_argument(
        "--slots", type=int, metavar="N", help="pictures that run at the same time"
    )
    run_group.add_argument("--expect", metavar="ID", help="the only bundle id that is accepted")
    run_group.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.set_defaults(func=run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files")
    group.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="single pictures, <condition>-<seed>-<number>.png",
    )
    group.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="of single pictures, default png"
    )
    group.add_argument(
        "--grid",
        type=Path,
        metavar="FILE.png",
        help="all pictures in one, a row per condition, enlarged to at least 64 px",
    )
    group.add_argument(
        "--latents",
        type=Path,
        metavar="FILE.npz",
        help="final states as arrays, with condition, seed and image of each",
    )
    group.add_argument(
        "--trace", type=Path, metavar="FILE.json", help="a Chrome trace of every phase"
    )


def run(args: argparse.Namespace) -> int:
    """Plan, generate, write, report.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: an impossible request, or the first one that failed after the others were
        written.
    """
    output = Output.of(args)
    output.check(args.bundle)
    if args.refiner is not None:
        output.check(args.refiner)
    from denoisert.runtime.measure.trace import Trace

    trace = Trace()
    start = perf_counter_ns()
    open_bundle = partial(_open, args)
    with (
        open_bundle(args.bundle, args.expect) as base,
        refiner.joined(args, base, open_bundle) as runtime,
    ):
        trace.add("open", start, perf_counter_ns(), "generate")
        if output.has_pictures:
            _check_pictures(runtime.card)
        requests = _requests(args, runtime.card)
        output.pictures(stems(_texts(args), args.seed), args.images)
        _print_plans(runtime, requests)
        if args.plan:
            return 0
        start = perf_counter_ns()
        with progress("sampling", "row") as report:
            results = runtime.generate(requests, progress=report, trace=trace)
        trace.add("requests", start, perf_counter_ns(), "generate")
    _finish(args, output, results, trace)
    return 0


def _open(args: argparse.Namespace, path: Path, expect: str | None = None) -> Runtime:
    """A bundle where the options say."""
    from denoisert.runtime.options import SLOTS
    from denoisert.runtime.runtime import Runtime

    return Runtime.open(
        path,
        expect=expect,
        devices=(place.target(args),),
        threads=args.threads,
        slots=SLOTS if args.slots is None else args.slots,
        cache=default_cache(),
    )


def _texts(args: argparse.Namespace) -> list[str]:
    """One name per request; a network without conditioning has one request."""
    return args.conditions or [UNCONDITIONAL]


def _requests(args: argparse.Namespace, card: Card) -> list[Request]:
    start = starts.start(args)
    size = args.size or starts.size(start, card)
    return [
        replace(
            sampler.request(args, card, condition, seed=args.seed, images=args.images),
            start=start,
            size=size,
        )
        for condition in told.conditions(args, card)
    ]


def _check_pictures(card: Card) -> None:
    shape = card.layout.parts[0].shape
    is_drawn = card.autoencoder is not None or (len(shape) == 3 and shape[0] in CHANNELS)
    if card.picture is None or not is_drawn:
        raise InvalidInput(
            f"the states of {card.name}, {shape}, are not pictures by its card. Use --latents "
            "FILE.npz alone."
        )


def _print_plans(runtime: Runtime | Refined, requests: Sequence[Request]) -> None:
    plans = {str(plan): None for each in requests for plan in refiner.plans(runtime, each)}
    print(f"bundle   {runtime.card.name} {runtime.bundle_id}")
    print(f"requests {len(requests)}")
    print("\n".join(plans), flush=True)


def _finish(
    args: argparse.Namespace, output: Output, results: Sequence[Result], trace: Trace
) -> None:
    """Write everything that succeeded, say where, then raise the first failure."""
    from denoisert.runtime.cli.write import write

    errors: list[DenoiseRTError] = [r.error for r in results if r.error is not None]
    if len(errors) == len(results):
        raise errors[0]
    start = perf_counter_ns()
    files = write(output, _texts(args), args.seed, args.images, results)
    trace.add("write", start, perf_counter_ns(), "generate")
    if output.trace is not None:
        with replaced(output.trace) as draft:
            trace.write(draft)
        files = [*files, output.trace]
    _print_report(files, results, trace)
    for text, result in zip(_texts(args), results, strict=True):
        for note in result.notes if len(results) > 1 else ():  # else the plan has said them
            print(f"note     {text[:SHOWN_CHARACTERS]}: {note}")
        if result.error is not None:
            print(f"failed   {text[:SHOWN_CHARACTERS]}: {result.error}")
    if errors:
        raise errors[0]


def _print_report(files: Sequence[Path], results: Sequence[Result], trace: Trace) -> None:
    for path in files[:SHOWN_FILES]:
        print(f"wrote    {path}")
    if len(files) > SHOWN_FILES:
        print(f"wrote    {len(files) - SHOWN_FILES} more")
    spans = {span.name: (span.end_ns - span.start_ns) / NS_PER_MS for span in trace.spans}
    slowest = max(results, key=lambda result: sum(result.phases.values()))
    phases = {"open": spans["open"], **slowest.phases, "write": spans["write"]}
    print(f"phases   {', '.join(f'{name} {time:.1f} ms' for name, time in phases.items())}")
    count = sum(len(result.flat) for result in results)
    seconds = spans["requests"] / MS_PER_S
    print(f"speed    {count / seconds:.2f} pictures per second, {count} in {seconds:.2f} s")

"""`denoisert generate`: every condition is one request, all of them run together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from denoisert.runtime.cli import sampler
from denoisert.runtime.cli.output import Output, replaced, stems
from denoisert.runtime.cli.progress import progress
from denoisert.runtime.errors import DenoiseRTError, InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.request import Request
    from denoisert.runtime.result import Result
    from denoisert.runtime.runtime import Runtime

NS_PER_MS = 1e6
MS_PER_S = 1e3
SHOWN_FILES = 8
UNCONDITIONAL = "picture"
CHANNELS = (1, 3)


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
        "conditions", nargs="*", metavar="CONDITION", help="a class number or the name of a class"
    )
    parser.add_argument("--negative", metavar="CONDITION", help="condition of the uncond branch")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="0 (default) to 2^64 - 1")
    parser.add_argument(
        "--images", type=int, default=1, metavar="N", help="pictures per condition, default 1"
    )
    sampler.add_options(parser)
    _add_files(parser)
    run_group = parser.add_argument_group("run")
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
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.runtime import SLOTS, Runtime

    trace = Trace()
    start = perf_counter_ns()
    slots = SLOTS if args.slots is None else args.slots
    with Runtime.open(
        args.bundle, expect=args.expect, threads=args.threads, slots=slots
    ) as runtime:
        trace.add("open", start, perf_counter_ns(), "requests")
        if output.has_pictures:
            _check_pictures(runtime.card)
        requests = _requests(args, runtime.card)
        output.pictures(stems(_texts(args), args.seed), args.images)
        _print_plans(runtime, requests)
        if args.plan:
            return 0
        with progress("sampling", "row") as report:
            results = runtime.generate(requests, progress=report, trace=trace)
    _finish(args, output, results, trace)
    return 0


def _texts(args: argparse.Namespace) -> list[str]:
    """One name per request; a network without conditioning has one request."""
    return args.conditions or [UNCONDITIONAL]


def _requests(args: argparse.Namespace, card: Card) -> list[Request]:
    from denoisert.runtime.request import Condition

    negative = None if args.negative is None else _value(args.negative, card)
    texts: list[str | None] = [*args.conditions] or [None]
    positives = [None if text is None else _value(text, card) for text in texts]
    return [
        sampler.request(
            args, card, Condition(positive, negative), seed=args.seed, images=args.images
        )
        for positive in positives
    ]


def _value(text: str, card: Card) -> int | str:
    """A class by its name, else by its number; the runtime refuses what is neither."""
    if any(text in entry.labels for entry in card.conditions):
        return text
    try:
        return int(text)
    except ValueError:
        return text


def _check_pictures(card: Card) -> None:
    shape = card.layout.parts[0].shape
    if card.picture is None or len(shape) != 3 or shape[0] not in CHANNELS:
        raise InvalidInput(
            f"the states of {card.name}, {shape}, are not pictures by its card. Use --latents "
            "FILE.npz alone."
        )


def _print_plans(runtime: Runtime, requests: Sequence[Request]) -> None:
    plans = {str(runtime.plan(request)): None for request in requests}
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
    trace.add("write", start, perf_counter_ns(), "requests")
    if output.trace is not None:
        with replaced(output.trace) as draft:
            trace.write(draft)
        files = [*files, output.trace]
    _print_report(files, results, trace)
    for text, result in zip(_texts(args), results, strict=True):
        if result.error is not None:
            print(f"failed   {text}: {result.error}")
    if errors:
        raise errors[0]


def _print_report(files: Sequence[Path], results: Sequence[Result], trace: Trace) -> None:
    for path in files[:SHOWN_FILES]:
        print(f"wrote    {path}")
    if len(files) > SHOWN_FILES:
        print(f"wrote    {len(files) - SHOWN_FILES} more")
    spans = {span.name: (span.end_ns - span.start_ns) / NS_PER_MS for span in trace.spans}
    phases = {"open": spans["open"], **results[0].phases, "write": spans["write"]}
    print(f"phases   {', '.join(f'{name} {time:.1f} ms' for name, time in phases.items())}")
    count = sum(len(result.flat) for result in results)
    seconds = (phases["plan"] + phases["ticks"]) / MS_PER_S
    print(f"speed    {count / seconds:.2f} pictures per second of planning and ticks")

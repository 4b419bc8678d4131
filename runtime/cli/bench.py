"""`denoisert bench`: what a bundle can carry on this machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place
from denoisert.runtime.cli.output import check_place, replaced
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.cli.loads import Rate
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.measure.load import Closed, Load, Trial
    from denoisert.runtime.measure.mix import Mix
    from denoisert.runtime.measure.record import Record
    from denoisert.runtime.measure.summary import Setting
    from denoisert.runtime.measure.trace import Trace
    from denoisert.runtime.runtime import Runtime

NS_PER_MS = 1e6
CLIENTS = "1,2,4,8"
SECONDS = 10.0
LONGEST_S = 86_400.0
SLOWER = 1
ROOT = Path(__file__).parents[2]


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "bench",
        help="measure throughput and latency",
        description="Measure throughput and latency: a closed loop of N clients, each of which "
        "waits for its answer, then an open loop of Poisson arrivals. Latency counts from the "
        "intended arrival.",
        epilog="Exit code 1 when --against finds a load slower than before on the same device.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "--concurrency",
        metavar="N,...",
        help=f"clients of the closed loop, default {CLIENTS}; none where only --rate in requests "
        "per second is given",
    )
    parser.add_argument(
        "--rate",
        metavar="R,...",
        help="open loop: 2.5 is requests per second, 0.5x half of the best throughput of the "
        "closed loop",
    )
    parser.add_argument(
        "--duration", type=float, default=SECONDS, metavar="S", help="seconds per load, default 10"
    )
    parser.add_argument(
        "--mix", type=Path, metavar="FILE.json", help="what is asked for; default from the card"
    )
    parser.add_argument(
        "--deadline", type=float, metavar="S", help="deadline of every request in seconds"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the mix and arrivals")
    _add_files(parser)
    _add_runtime(parser)
    parser.set_defaults(func=run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files")
    group.add_argument(
        "--against", type=Path, metavar="FILE", help="records of an earlier --out to compare with"
    )
    group.add_argument("--out", type=Path, metavar="FILE.jsonl", help="records, one JSON a line")
    group.add_argument(
        "--svg", type=Path, metavar="FILE.svg", help="latency against load, share of phases"
    )
    group.add_argument(
        "--trace", type=Path, metavar="FILE.json", help="a Chrome trace of every request"
    )


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    place.add_options(group)
    group.add_argument("--threads", type=int, metavar="N", help="default: all allowed cores")
    group.add_argument("--slots", type=int, metavar="N", help="pictures that run at the same time")
    group.add_argument("--queue", type=int, metavar="N", help="requests that may wait")
    group.add_argument("--expect", metavar="ID", help="the only bundle id that is accepted")


def run(args: argparse.Namespace) -> int:
    """Open, measure every load, write, compare.

    Args:
        args: parsed options.

    Returns:
        0, or 1 when something became slower than `--against`.

    Raises:
        DenoiseRTError: options or a mix that cannot be meant, or a bundle that does not run.
    """
    closed, open_rates = _loads(args)
    _check(args)
    from denoisert.runtime.measure.against import read
    from denoisert.runtime.measure.trace import Trace

    stored = [] if args.against is None else read(args.against)
    trace = None if args.trace is None else Trace()
    records = list(_records(args, closed, open_rates, trace))
    _write(args, records, trace)
    return _compare(stored, records)


def _loads(args: argparse.Namespace) -> tuple[tuple[Closed, ...], tuple[Rate, ...]]:
    """Closed loops and rates of the open one."""
    from denoisert.runtime.cli.loads import clients, rates

    found = () if args.rate is None else rates(args.rate)
    needs_closed = not found or any(rate.is_share for rate in found)
    if args.concurrency is None and not needs_closed:
        return (), found
    return clients(CLIENTS if args.concurrency is None else args.concurrency), found


def _check(args: argparse.Namespace) -> None:
    """Refuse places and durations before any work."""
    if not 0.0 < args.duration <= LONGEST_S:
        raise InvalidInput(f"--duration {args.duration:g}: give seconds, above 0, at most a day.")
    check_place("--out", args.out, ".jsonl", args.bundle)
    check_place("--svg", args.svg, ".svg", args.bundle)
    check_place("--trace", args.trace, ".json", args.bundle)


def _records(
    args: argparse.Namespace,
    closed: tuple[Closed, ...],
    open_rates: tuple[Rate, ...],
    trace: Trace | None,
) -> Iterator[Record]:
    """Measure one thing after the other; each is printed as soon as it is known."""
    from denoisert.runtime.measure.mix import Mix

    mix = None if args.mix is None else Mix.read(args.mix, args.seed)
    start = perf_counter_ns()
    with _opened(args, trace) as runtime:
        opened = perf_counter_ns()
        if trace is not None:
            trace.add("open", start, opened, "bench")
        mix = mix or Mix.of(runtime.card, args.seed)
        mix = mix if args.deadline is None else mix.bounded(args.deadline)
        setting = _setting(args, runtime, mix)
        yield _said(setting.once("open", (opened - start) / NS_PER_MS))
        yield _said(setting.once("first request, cold", _first_ms(runtime, mix)))
        yield _said(setting.once("warm", _warm_ms(runtime, mix)))
        count = 1  # the first request was one
        best = 0.0
        for load in closed:
            trial = _measured(args, runtime, mix, load, count)
            best = max(best, len(trial.counted) / trial.span)
            yield _said(setting.trial(trial, count))
            count += len(trial.samples)
        for rate in open_rates:
            trial = _measured(args, runtime, mix, rate.load(best), count)
            yield _said(setting.trial(trial, count))
            count += len(trial.samples)


def _opened(args: argparse.Namespace, trace: Trace | None) -> Runtime:
    from denoisert.runtime.options import QUEUE, SLOTS
    from denoisert.runtime.runtime import Runtime

    return Runtime.open(
        args.bundle,
        expect=args.expect,
        devices=(place.target(args),),
        threads=args.threads,
        slots=SLOTS if args.slots is None else args.slots,
        queue=QUEUE if args.queue is None else args.queue,
        trace=trace,
    )


def _setting(args: argparse.Namespace, runtime: Runtime, mix: Mix) -> Setting:
    from denoisert.runtime.measure.record import this_machine
    from denoisert.runtime.measure.summary import Setting
    from denoisert.runtime.options import QUEUE, SLOTS

    cores = len(os.sched_getaffinity(0))
    machine = this_machine(ROOT, cores)
    numbers = {
        "threads": float(args.threads or cores),
        "slots": float(args.slots or SLOTS),
        "queue": float(args.queue or QUEUE),
    }
    print(f"bundle   {runtime.card.name} {runtime.bundle_id}")
    print(f"device   {machine.device}, {cores} cores")
    print(f"mix      {mix.name}; {', '.join(f'{key} {value:g}' for key, value in numbers.items())}")
    return Setting(runtime.card.name, runtime.bundle_id, mix.name, machine, numbers)


def _first_ms(runtime: Runtime, mix: Mix) -> float:
    """The first request after `open`, with everything that happens only once; no deadline."""
    from denoisert.runtime.request import Limits

    request = replace(mix.draw(0), limits=Limits())
    start = perf_counter_ns()
    runtime.submit(request).result()
    return (perf_counter_ns() - start) / NS_PER_MS


def _warm_ms(runtime: Runtime, mix: Mix) -> float:
    """Everything else that happens only once; what cannot run at all is refused here."""
    start = perf_counter_ns()
    for request in mix.every_kind():
        runtime.plan(request)
    runtime.warm()
    return (perf_counter_ns() - start) / NS_PER_MS


def _measured(
    args: argparse.Namespace, runtime: Runtime, mix: Mix, load: Load, first: int
) -> Trial:
    from asyncio import run as run_loop

    from denoisert.runtime.measure.load import measure

    return run_loop(
        measure(load, runtime.submit, mix.draw, seconds=args.duration, seed=args.seed, first=first)
    )


def _said(record: Record) -> Record:
    from denoisert.runtime.measure.summary import text

    print("\n".join(text(record)), flush=True)
    return record


def _write(args: argparse.Namespace, records: list[Record], trace: Trace | None) -> None:
    from denoisert.runtime.measure.figure import figure

    if args.out is not None:
        with replaced(args.out) as draft:
            draft.write_text("".join(f"{record.line()}\n" for record in records))
    if args.svg is not None:
        with replaced(args.svg) as draft:
            draft.write_text(figure(records), encoding="utf-8")
    if trace is not None:
        with replaced(args.trace) as draft:
            trace.write(draft)
    for path in (args.out, args.svg, args.trace):
        if path is not None:
            print(f"wrote    {path}")


def _compare(stored: list[Record], records: list[Record]) -> int:
    """Print the ratios to the stored records, and say whether anything became slower."""
    from denoisert.runtime.measure.against import comparisons

    found = list(comparisons(stored, records))
    for comparison in found:
        print(f"against  {comparison}")
    if stored and not found:
        print("against  no case of the stored records was measured now")
    return SLOWER if any(comparison.is_slower for comparison in found) else 0

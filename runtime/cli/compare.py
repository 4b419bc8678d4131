"""`denoisert compare`: two bundles, or two samplers of one, on the same requests."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place, sampler
from denoisert.runtime.cli.output import check_place, replaced
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.measure.quality import Difference
    from denoisert.runtime.measure.record import Record
    from denoisert.runtime.plan import Plan
    from denoisert.runtime.request import Request, Value
    from denoisert.runtime.result import Result
    from denoisert.runtime.runtime import Runtime

PREFIX = "b-"
REPEATS = 5
CONDITIONS = 4  # without any on the command line, as many of the default mix
FACTOR = 10
ROOT = Path(__file__).parents[2]


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "compare",
        help="time and pictures of two bundles or samplers",
        description="Run the same requests on A and on B, in turns, and compare time and "
        "pictures. For two samplers of one bundle give it twice, with --b-... for what B does "
        "differently.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="a bundle's folder, the reference")
    parser.add_argument("b", type=Path, metavar="B", help="another, or the same again")
    parser.add_argument(
        "conditions",
        nargs="*",
        default=[],
        metavar="CONDITION",
        help="as for generate; default: four",
    )
    parser.add_argument("--negative", metavar="CONDITION", help="condition of the uncond branch")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first request")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="pictures per condition")
    parser.add_argument(
        "--repeats", type=int, default=REPEATS, metavar="N", help="timed rounds, default 5"
    )
    sampler.add_options(parser)
    sampler.add_options(parser, PREFIX, "sampler of B", "What is left out, B does as A.")
    group = parser.add_argument_group("files")
    group.add_argument(
        "--grid",
        type=Path,
        metavar="FILE.png",
        help=f"a row per picture: A, B, their difference {FACTOR} times as large",
    )
    group.add_argument("--out", type=Path, metavar="FILE.jsonl", help="records, one JSON a line")
    group = parser.add_argument_group("run")
    place.add_options(group)
    group.add_argument("--threads", type=int, metavar="N", help="default: all allowed cores")
    parser.set_defaults(func=run)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two.

    Args:
        name: "A" or "B".
        runtime: of its bundle.
        requests: what it is asked.
        plan: of the first request.
    """

    name: str
    runtime: Runtime
    requests: tuple[Request, ...]
    plan: Plan

    def run(self) -> list[Result]:
        """All requests together."""
        return self.runtime.generate(self.requests)

    def __str__(self) -> str:
        card, plan = self.runtime.card, self.plan
        work = f"{plan.steps} steps, {plan.nfe} evaluations"
        return f"{card.name} {self.runtime.bundle_id[:8]}, {plan.solver!r}, {work}"


def run(args: argparse.Namespace) -> int:
    """Run both in turns, compare, write.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: an impossible request, or bundles whose pictures cannot be compared.
    """
    _check(args)
    from denoisert.runtime.measure.clock import interleaved

    with ExitStack() as stack:
        sides = _sides(args, stack)
        results: dict[str, list[Result]] = {}
        runs = {side.name: (lambda s=side: results.update({s.name: s.run()})) for side in sides}
        times = interleaved(runs, warm_up=1, repeats=args.repeats)
    for found in (result for side in sides for result in results[side.name]):
        if found.error is not None:
            raise found.error
    each = {
        name: [time / len(sides[0].requests) for time in values] for name, values in times.items()
    }
    pairs = list(zip(results["A"], results["B"], strict=True))
    differences = _say(sides, each, pairs)
    if args.grid is not None:
        _write_grid(args.grid, pairs)
    if args.out is not None:
        _write_records(args, _records(sides, each, differences))
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.repeats < 1:
        raise InvalidInput(f"--repeats {args.repeats}: give at least 1.")
    for bundle in (args.a, args.b):
        check_place("--grid", args.grid, ".png", bundle)
        check_place("--out", args.out, ".jsonl", bundle)


def _sides(args: argparse.Namespace, stack: ExitStack) -> tuple[Side, Side]:
    """Both sides; one runtime serves both where the bundle is the same."""
    from denoisert.runtime.runtime import Runtime

    opened = partial(Runtime.open, devices=(place.target(args),), threads=args.threads)
    first = stack.enter_context(opened(args.a))
    is_same = args.a.resolve() == args.b.resolve()
    second = first if is_same else stack.enter_context(opened(args.b))
    other = sampler.overridden(args, PREFIX)
    return _side("A", first, args), _side("B", second, other)


def _side(name: str, runtime: Runtime, args: argparse.Namespace) -> Side:
    from denoisert.runtime.measure.mix import Mix
    from denoisert.runtime.request import Condition

    card = runtime.card
    negative = None if args.negative is None else sampler.condition_value(args.negative, card)
    told: list[Value] = [sampler.condition_value(text, card) for text in args.conditions]
    if not told:
        asked = Mix.of(card).every_kind()[:CONDITIONS]
        told = [request.told.positive for request in asked]
    requests = tuple(
        sampler.request(
            args, card, Condition(value, negative), seed=args.seed + number, images=args.images
        )
        for number, value in enumerate(told)
    )
    return Side(name, runtime, requests, runtime.plan(requests[0]))


def _say(
    sides: Sequence[Side],
    times: dict[str, list[float]],
    pairs: Sequence[tuple[Result, Result]],
) -> Difference | None:
    """Print everything; the difference of all pictures, None where there are none."""
    from denoisert.runtime.measure.percentiles import percentile
    from denoisert.runtime.measure.quality import pooled

    medians = [percentile(times[side.name], 0.5) for side in sides]
    for side, median in zip(sides, medians, strict=True):
        low, high = (percentile(times[side.name], share) for share in (0.1, 0.9))
        print(f"{side.name}        {side}")
        print(f"         {median:.1f} ms per request ({low:.1f} .. {high:.1f})")
    print(f"time     B takes {medians[1] / medians[0]:.2f} times as long as A")
    print(f"latents  {_latents(pairs)}")
    if not all(_has_pictures(result) for pair in pairs for result in pair):
        return None
    found = []
    for request, pair in zip(sides[0].requests, pairs, strict=True):
        each = list(_differences(pair))
        print(f"picture  {str(request.told.positive)[:40]}: {pooled(each)}")
        found += each
    print(f"pictures {pooled(found)}")
    return pooled(found)


def _has_pictures(result: Result) -> bool:
    return result.pixels is not None or (
        result.picture is not None and result.layout.parts[0].shape[0] in (1, 3)
    )


def _latents(pairs: Sequence[tuple[Result, Result]]) -> str:
    """The largest relative difference of the final states."""
    import numpy as np

    if any(one.flat.shape != other.flat.shape for one, other in pairs):
        return "of different shapes, not compared"
    worst = max(
        float(np.abs(one.flat - other.flat).max() / max(np.abs(one.flat).max(), 1e-30))
        for one, other in pairs
    )
    return f"largest relative difference {worst:.2e}"


def _differences(pair: tuple[Result, Result]) -> Iterator[Difference]:
    import numpy as np

    from denoisert.runtime.measure.quality import difference

    for one, other in zip(pair[0].images, pair[1].images, strict=True):
        yield difference(np.asarray(one), np.asarray(other))


def _write_grid(path: Path, pairs: Sequence[tuple[Result, Result]]) -> None:
    """A row per picture: A, B, their difference."""
    from denoisert.runtime.cli.sheet import sheet

    cells = [
        cell
        for pair in pairs
        for one, other in zip(pair[0].images, pair[1].images, strict=True)
        for cell in (one, other, _difference_picture(one, other))
    ]
    with replaced(path) as draft:
        sheet(cells, 3).save(draft, format="PNG")
    print(f"wrote    {path}")


def _difference_picture(one: Image, other: Image) -> Image:
    import numpy as np
    from PIL.Image import fromarray

    from denoisert.runtime.measure.quality import amplified

    return fromarray(amplified(np.asarray(one), np.asarray(other), FACTOR))


def _records(
    sides: Sequence[Side], times: dict[str, list[float]], found: Difference | None
) -> Iterator[Record]:
    """One record per side; the quality column stands at B, as A is the reference."""
    from denoisert.runtime.measure.record import this_machine
    from denoisert.runtime.measure.summary import Setting

    machine = this_machine(ROOT, len(os.sched_getaffinity(0)))
    quality: dict[str, float | str] = {}
    if found is not None:
        psnr = {} if found.psnr == inf else {"psnr_db": found.psnr}
        quality = {**psnr, "ssim": found.ssim, "max_error": found.largest}
    for side in sides:
        model, bundle = side.runtime.card.name, side.runtime.bundle_id
        setting = Setting(model, bundle, "", machine, {}, room="compare")
        extra = quality if side.name == "B" else {}
        what = f"{side.name}: {side.plan.solver!r}, {side.plan.steps} steps"
        yield setting.record(what, times[side.name], 1, {"nfe": float(side.plan.nfe), **extra})


def _write_records(args: argparse.Namespace, records: Iterator[Record]) -> None:
    with replaced(args.out) as draft:
        draft.write_text("".join(f"{record.line()}\n" for record in records))
    print(f"wrote    {args.out}")

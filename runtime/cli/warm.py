"""`denoisert warm`: measure every engine of a bundle on this device, for `plan` to use."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place
from denoisert.runtime.cli.cache import default_cache
from denoisert.runtime.cli.progress import progress
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.bundle.open import Bundle
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.engines.choice import Choice
    from denoisert.runtime.engines.engine import Engine
    from denoisert.runtime.measure.profile import Call, Profile

MS_PER_S = 1e3
SECONDS = 0.2


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "warm",
        help="measure a bundle's engines on this device",
        description="Run every engine of a bundle at every number of lanes and keep the times, "
        "so that plans say how long they take.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="default: the user's cache folder"
    )
    place.add_options(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="default: all allowed cores")
    parser.add_argument(
        "--lanes",
        metavar="N,...",
        help="measure only these numbers of lanes, plans model the others; default: all",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="S",
        help="spent on each number of lanes, default 0.2, with at least 5 calls",
    )
    parser.add_argument("--expect", metavar="ID", help="the only bundle id that is accepted")
    parser.add_argument("--json", action="store_true", help="print the times as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure, keep, print.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: the bundle does not run here.
        OSError: the cache cannot be written to.
    """
    from denoisert.runtime.bundle.open import Bundle
    from denoisert.runtime.components import load_device
    from denoisert.runtime.engines.choice import choose
    from denoisert.runtime.measure.profile import Profile, ProfileKey

    threads = len(os.sched_getaffinity(0)) if args.threads is None else args.threads
    cache = args.cache or default_cache()
    if threads < 1 or cache is None:
        raise InvalidInput(
            f"threads {threads}, cache {cache}: give at least 1, and --cache FOLDER."
        )
    bundle = Bundle.open(args.bundle, expect=args.expect)
    choice = choose(bundle, place.target(args))
    where = load_device(choice.target).title
    key = ProfileKey.of(bundle.id, choice.target, threads, where)
    profile = Profile(key, tuple(_measured(bundle, choice, args, threads)))
    path = profile.write(cache)
    if args.json:
        print(json.dumps({"profile": str(path), "ms": _times(profile)}))
    else:
        print("\n".join([*_table(profile), f"wrote    {path}"]))
    return 0


def _lanes(text: str | None) -> tuple[int, ...]:
    """The numbers in "1,2,4"; none where nothing was said."""
    words = [] if text is None else text.split(",")
    numbers = tuple(int(word) for word in words if word.strip().isdecimal())
    if len(numbers) != len(words) or 0 in numbers:
        raise InvalidInput(f"--lanes {text}: give whole numbers of at least 1, for example 1,2,4.")
    return numbers


def _measured(
    bundle: Bundle, choice: Choice, args: argparse.Namespace, threads: int
) -> Iterator[Call]:
    """Every component at every bucket and size, one engine loaded at a time."""
    from denoisert.runtime.engines.loading import components, load

    lanes = _lanes(args.lanes)
    for component in components(bundle, choice):
        with closing(
            load(bundle, choice, component, threads, args.cache or default_cache())
        ) as engine:
            yield from _sized(engine, bundle.card, component, lanes, args.seconds)


def _sized(
    engine: Engine, card: Card, component: str, lanes: tuple[int, ...], seconds: float
) -> Iterator[Call]:
    """One component at every bucket and size."""
    from denoisert.runtime.bundle.sizes import timed_sizes
    from denoisert.runtime.measure.engine_time import bucket_times
    from denoisert.runtime.measure.profile import Call

    for name, sizes in timed_sizes(card, component).items():
        with progress(f"measuring {name}", "round") as report:
            times = bucket_times(engine.at(sizes), lanes, seconds, report)
        yield from (Call(name, bucket, time) for bucket, time in times.items())


def _times(profile: Profile) -> dict[str, dict[str, float]]:
    """Component -> lanes -> milliseconds."""
    components = dict.fromkeys(call.component for call in profile.calls)
    return {
        name: {str(lanes): MS_PER_S * time for lanes, time in profile.times(name).items()}
        for name in components
    }


def _table(profile: Profile) -> Iterator[str]:
    """A line per call: its time, and what a lane of it costs."""
    key = profile.key
    yield f"device   {key.device}, {key.threads} threads, {key.target}"
    for component, times in _times(profile).items():
        for lanes, ms in times.items():
            each = f"{ms / int(lanes):8.2f} ms per lane"
            yield f"{component:<16} {lanes:>3} lanes  {ms:9.2f} ms  {each}"

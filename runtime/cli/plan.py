"""`denoisert plan`: what a request would cost, its memory phase by phase; nothing is loaded."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place, sampler, told
from denoisert.runtime.cli.cache import default_cache
from denoisert.runtime.cli.size import read_size

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.memory import MemoryPlan
    from denoisert.runtime.plan import Plan
    from denoisert.runtime.request import Condition, Request


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "plan",
        help="say what a request would cost, and how much memory at its peak",
        description="Say what a request would cost: evaluations, lanes, time where it was "
        "measured, and the memory of every phase with the peak of the whole. Nothing is loaded.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "conditions",
        nargs="*",
        default=[],
        metavar="CONDITION",
        help="as for generate; default: an empty prompt, or class 0",
    )
    told.add_options(parser)
    parser.add_argument(
        "--images", type=int, default=1, metavar="N", help="pictures of the request, default 1"
    )
    parser.add_argument(
        "--size",
        type=read_size,
        metavar="HxW",
        help="pixels of a picture, one of the sizes that `inspect` lists; default: the first",
    )
    parser.add_argument(
        "--slots", type=int, metavar="N", help="pictures that run at the same time, default 8"
    )
    sampler.add_options(parser)
    place.add_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, memory in bytes")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Plan and print.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: the bundle does not run here, or a request that cannot be honoured.
    """
    from denoisert.runtime.options import SLOTS
    from denoisert.runtime.runtime import Runtime

    slots = SLOTS if args.slots is None else args.slots
    target = place.target(args)
    with Runtime.open(args.bundle, devices=(target,), slots=slots, cache=default_cache()) as opened:
        request = _request(args, opened.card)
        plan, memory = opened.plan(request), opened.memory(request)
    print(json.dumps(_plain(plan, memory)) if args.json else f"{plan}\n{memory}")
    return 0


def _request(args: argparse.Namespace, card: Card) -> Request:
    condition = _condition(args, card)
    asked = sampler.request(args, card, condition, images=args.images)
    return replace(asked, size=args.size)


def _condition(args: argparse.Namespace, card: Card) -> Condition:
    """The one that was typed, or one that costs what any other does."""
    if not args.conditions and not args.condition:
        args.conditions = [""] if card.texts else ["0"] if card.conditions else []
    return told.conditions(args, card)[0]


def _plain(plan: Plan, memory: MemoryPlan) -> dict[str, object]:
    phases = {
        each.phase.value: {
            "weight_bytes": each.weight_bytes,
            "workspace_bytes": each.workspace_bytes,
            "buffer_bytes": each.buffer_bytes,
        }
        for each in memory.phases
    }
    figures = {
        name: value
        for name, value in asdict(plan).items()
        if name in ("engine", "steps", "stages", "nfe", "images", "lanes")
    }
    return {
        **figures,
        "phases": phases,
        "workspaces": memory.source,
        "peak_bytes": memory.peak_bytes,
        "released_peak_bytes": memory.released_bytes,
    }

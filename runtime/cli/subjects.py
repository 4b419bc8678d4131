"""What `denoisert solver compare` tries solvers on: data known exactly, or a bundle."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place, sampler
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.measure.accuracy import Skipped
    from denoisert.runtime.measure.subject import Subject
    from denoisert.runtime.request import Request
    from denoisert.runtime.runtime import Runtime
    from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
    from denoisert.runtime.sampling.solvers import Solver

BOXED = "reflected"
ORACLES = ("mixture", "gaussian", "finite")
PATH, SCHEDULE, PURE_NOISE_SCHEDULE, BOXED_PATH = "linear", "karras", "trailing", "ve"
BOXED_SOLVERS = (
    "predictor_corrector(corrections=0, box=(0, 1))",
    "predictor_corrector(correction=level, snr=0.05, box=(0, 1))",
)
"""What the box is tried with where no solver is named; their names need values."""
POINTS, PICTURES = 256, 4
CONDITIONS = 4


def _schedule(path: NoiseSchedule) -> str:
    """Levels where the path has finite ones at both ends, else times."""
    import numpy as np

    alpha, sigma = path.at(np.array([path.first, path.last]))
    return SCHEDULE if alpha[0] > 0.0 and sigma[1] > 0.0 else PURE_NOISE_SCHEDULE


def solvers(
    words: Sequence[str] | None, oracle: str | None = None
) -> tuple[dict[str, Solver], list[Skipped]]:
    """What was asked for, as it was typed; or all that need no values, and those that do.

    Args:
        words: of the command line, or None.
        oracle: the data; those in a box have solvers of their own.
    """
    from denoisert.runtime.measure.accuracy import Skipped
    from denoisert.runtime.sampling.names import SOLVERS
    from denoisert.runtime.sampling.notation import parse

    words = words or (BOXED_SOLVERS if oracle == BOXED else None)
    if words:
        return {word: parse(SOLVERS, word) for word in words}, []
    found, absent = {}, []
    for name in SOLVERS:
        try:
            found[name] = parse(SOLVERS, name)
        except (InvalidInput, TypeError) as error:
            absent.append(Skipped(name, 0, f"{error}"))
    return found, absent


def subject(
    args: argparse.Namespace, stack: ExitStack, chosen: Mapping[str, Solver]
) -> tuple[Subject, list[str]]:
    """What they are tried on, and lines that say so."""
    if args.bundle is None:
        return _oracle(args)
    from denoisert.runtime.measure.accuracy import most_accurate
    from denoisert.runtime.measure.subject import BundleSubject
    from denoisert.runtime.runtime import Runtime
    from denoisert.runtime.sampling.names import SOLVERS
    from denoisert.runtime.sampling.notation import parse

    opened = Runtime.open(args.bundle, devices=(place.target(args),), threads=args.threads)
    runtime = stack.enter_context(opened)
    requests = _requests(args, runtime)
    name, spacing = args.reference_solver, _unpinned(requests[0].schedule, runtime.card)
    if name is None:
        fine = [replace(request, schedule=spacing) for request in requests]
        tables = BundleSubject(runtime, fine, next(iter(chosen.values())), args.reference)
        known = {**solvers(None)[0], **chosen}
        name, reference = most_accurate(tables, known, args.reference)
    else:
        reference = parse(SOLVERS, name)
    tried = BundleSubject(runtime, requests, reference, args.reference, spacing)
    sure, apart = tried.uncertainty(), tried.spread()
    pictures = sum(request.images for request in requests)
    return tried, [
        f"model      {runtime.card.name} {runtime.bundle_id[:8]}, {len(requests)} conditions, "
        f"{pictures} pictures, seed {args.seed}",
        f"reference  {name}, {args.reference} steps on {spacing!r}; half as many differ by "
        f"{sure:.1e}, and errors below that mean nothing",
        f"sets       of other seeds are {apart:.1e} apart; no distance below that is seen in them",
    ]


def _unpinned(asked: Spacing | None, card: Card) -> Spacing:
    """Where the many steps of the truth lie: the asked spacing, the card's, or even times.

    Levels that somebody has found for few steps have no other number of them.
    """
    from denoisert.runtime.sampling.schedules import Trailing
    from denoisert.runtime.sampling.schedules.spacing import pinned_steps

    found = (asked or card.sampler.spacing, card.sampler.spacing)
    return next((each for each in found if pinned_steps(each) is None), Trailing())


def _requests(args: argparse.Namespace, runtime: Runtime) -> list[Request]:
    from denoisert.runtime.measure.mix import Mix
    from denoisert.runtime.request import Condition

    card = runtime.card
    told = [sampler.condition_value(text, card) for text in args.conditions]
    if not told:
        asked = Mix.of(card).every_kind()[:CONDITIONS]
        told = [request.told.positive for request in asked]  # type: ignore[misc]
    negative = None if args.negative is None else sampler.condition_value(args.negative, card)
    plain = dict.fromkeys(sampler.OPTIONS) | {
        "schedule": args.schedule,
        "guidance": args.guidance,
    }
    return [
        sampler.request(
            argparse.Namespace(**plain),
            card,
            Condition(value, negative),
            seed=args.seed + number,
            images=args.samples or PICTURES,
        )
        for number, value in enumerate(told)
    ]


def _oracle(args: argparse.Namespace) -> tuple[Subject, list[str]]:
    from denoisert.runtime.cli.schedule import read_spacing
    from denoisert.runtime.measure.oracles import oracle
    from denoisert.runtime.measure.subject import OracleSubject
    from denoisert.runtime.sampling.names import SCHEDULES
    from denoisert.runtime.sampling.notation import parse

    name, points = args.oracle or ORACLES[0], args.samples or POINTS
    path = parse(SCHEDULES, args.path or (BOXED_PATH if name == BOXED else PATH))
    spacing = read_spacing(args.schedule or _schedule(path))
    if name == BOXED:
        return _boxed(args, path, spacing, points)
    denoiser, width = oracle(name)
    tried = OracleSubject(
        denoiser, width, path, spacing, points=points, seed=args.seed, fine=args.reference
    )
    return tried, [
        f"oracle     {name}, {points} points of {width}, {path!r}, {spacing!r}, seed {args.seed}",
        f"reference  the probability flow, {args.reference} steps of Runge-Kutta",
    ]


def _boxed(
    args: argparse.Namespace, path: NoiseSchedule, spacing: Spacing, points: int
) -> tuple[Subject, list[str]]:
    from denoisert.runtime.measure.boxed import BoxedSubject
    from denoisert.runtime.measure.oracles import boxed

    tried = BoxedSubject(boxed(), path, spacing, points=points, seed=args.seed)
    return tried, [
        f"oracle     {BOXED}, {points} points in a square that reflects, {path!r}, {spacing!r}, "
        f"seed {args.seed}",
        f"reference  other points of the data; two such sets are {tried.spread():.1e} apart, and "
        "no distance below that is seen in them. RMS errors mean nothing here",
    ]

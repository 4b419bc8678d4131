"""`denoisert solver compare`: error against evaluations, on data known exactly or on a bundle."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli import place, subjects
from denoisert.runtime.cli.output import check_place, replaced
from denoisert.runtime.cli.progress import progress
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.measure.accuracy import Outcome, Skipped
    from denoisert.runtime.measure.subject import Subject
    from denoisert.runtime.sampling.solvers import Solver

EVALUATIONS = "4,6,8,10,12,16,20,24,32,48"
MOST_EVALUATIONS = 1000
REFERENCE = 500
BEST = 5
QUANTITIES = {"rms": "RMS error", "distance": "sliced Wasserstein distance"}
NOISE = "*"  # after the name of a solver that draws noise


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser("solver", help="compare solvers by error and evaluations")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    parser = verbs.add_parser(
        "compare",
        help="error against evaluations, as a table and a plot",
        description="Run solvers from the same noise at several numbers of evaluations and compare "
        "with many steps: on data whose denoiser is known exactly, or on a bundle.",
        epilog=f"A solver marked {NOISE} draws noise: its RMS error says little, its distance the "
        "quality of the set. What a solver refuses is left out, with its reason.",
    )
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="a bundle's folder")
    parser.add_argument(
        "conditions",
        nargs="*",
        default=[],
        metavar="CONDITION",
        help="as for generate; default: four",
    )
    parser.add_argument(
        "--oracle",
        choices=(*subjects.ORACLES, subjects.BOXED),
        help=f"default mixture, where no BUNDLE is; {subjects.BOXED} is for solvers with a box",
    )
    parser.add_argument(
        "--solver",
        action="append",
        metavar="NAME",
        help="for example heun or 'ddim(eta=0.5)'; may come several times; default: all",
    )
    parser.add_argument(
        "--evaluations",
        default=EVALUATIONS,
        metavar="N,...",
        help=f"most network evaluations of one branch, default {EVALUATIONS}",
    )
    _add_run(parser)
    parser.set_defaults(func=run)


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--reference", type=int, default=REFERENCE, metavar="N", help="steps of the truth"
    )
    group.add_argument(
        "--reference-solver", metavar="NAME", help="of a bundle's truth; default the most accurate"
    )
    group.add_argument(
        "--schedule",
        metavar="NAME",
        help=f"where steps lie; default the card's, or {subjects.SCHEDULE} ("
        f"{subjects.PURE_NOISE_SCHEDULE} on a path from pure noise)",
    )
    group.add_argument(
        "--path",
        metavar="NAME",
        help=f"an oracle's path, default {subjects.PATH}, of {subjects.BOXED} "
        f"{subjects.BOXED_PATH}",
    )
    group.add_argument("--guidance", type=float, metavar="G", help="guidance scale of a bundle")
    group.add_argument("--negative", metavar="CONDITION", help="condition of the uncond branch")
    group.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"points of an oracle, default {subjects.POINTS}; pictures a condition, default "
        f"{subjects.PICTURES}",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise")
    place.add_options(group)
    group.add_argument("--threads", type=int, metavar="N", help="default: all allowed cores")
    group = parser.add_argument_group("files")
    group.add_argument("--out", type=Path, metavar="FILE.svg", help="error against evaluations")
    group.add_argument("--json", type=Path, metavar="FILE.json", help="all numbers")
    group.add_argument(
        "--measure",
        choices=tuple(QUANTITIES),
        help=f"what is drawn and ranked, default rms, of {subjects.BOXED} distance",
    )


def run(args: argparse.Namespace) -> int:
    """Try every solver, print, draw.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: nothing of what is asked can run.
    """
    counts = _counts(args.evaluations)
    _check(args)
    with ExitStack() as stack:
        solvers, absent = subjects.solvers(args.solver, args.oracle)
        subject, notes = subjects.subject(args, stack, solvers)
        print("\n".join(notes))
        outcomes, skipped = _tried(subject, solvers, counts)
    skipped = [*absent, *skipped]
    if not outcomes:
        raise InvalidInput(f"no solver ran: {skipped[0].solver}: {skipped[0].reason}")
    outcomes.sort(key=lambda each: (each.solver, each.evaluations))
    args.measure = args.measure or ("distance" if args.oracle == subjects.BOXED else "rms")
    print("\n".join([*_table(outcomes), *_ranks(outcomes, counts, args.measure)]))
    print("\n".join(_refusals(skipped)), end="\n" if skipped else "")
    _write(args, notes, outcomes, skipped)
    return 0


def _counts(text: str) -> list[int]:
    words = text.split(",")
    counts = sorted({int(word) for word in words if word.strip().isdecimal()})
    if len(counts) != len(words) or not 1 <= counts[0] <= counts[-1] <= MOST_EVALUATIONS:
        raise InvalidInput(
            f"--evaluations {text}: give whole numbers, each once, from 1 to {MOST_EVALUATIONS}, "
            f"for example {EVALUATIONS}."
        )
    return counts


def _check(args: argparse.Namespace) -> None:
    """Refuse before any work what does not belong together or cannot be written."""
    if args.bundle is not None and (args.oracle or args.path):
        raise InvalidInput("a BUNDLE has its own data and path; leave --oracle and --path out.")
    if args.bundle is None and (args.guidance, args.negative, args.reference_solver) != (None,) * 3:
        raise InvalidInput(
            "--guidance, --negative and --reference-solver belong to a BUNDLE; give one."
        )
    for option, number in (("--reference", args.reference), ("--samples", args.samples)):
        if number is not None and not 1 <= number <= MOST_EVALUATIONS:
            raise InvalidInput(f"{option} {number} is outside 1 to {MOST_EVALUATIONS}.")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed}: give at least 0.")
    bundle = Path("/nowhere") if args.bundle is None else args.bundle
    check_place("--out", args.out, ".svg", bundle)
    check_place("--json", args.json, ".json", bundle)


def _tried(
    subject: Subject, solvers: Mapping[str, Solver], counts: Sequence[int]
) -> tuple[list[Outcome], list[Skipped]]:
    from denoisert.runtime.measure.accuracy import Skipped, trials

    found: list[Outcome | Skipped] = []
    with progress("comparing", "solver") as report:
        for done, (name, solver) in enumerate(solvers.items(), 1):
            found += trials(subject, name, solver, counts)
            report(done, len(solvers))
    outcomes = [each for each in found if not isinstance(each, Skipped)]
    return outcomes, [each for each in found if isinstance(each, Skipped)]


def _name(outcome: Outcome) -> str:
    return f"{outcome.solver}{NOISE if outcome.is_random else ''}"


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each run."""
    width = max(len(_name(each)) for each in outcomes)
    yield f"{'solver':<{width}}  steps  evaluations  nfe       rms  distance"
    for each in outcomes:
        counts = f"{each.steps:>5}  {each.evaluations:>11}  {each.nfe:>3}"
        yield f"{_name(each):<{width}}  {counts}  {each.rms:8.2e}  {each.distance:8.2e}"


def _ranks(outcomes: Sequence[Outcome], counts: Sequence[int], measure: str) -> Iterator[str]:
    """The best at each cost; of every solver the run that comes nearest to it."""
    for count in counts:
        within: dict[str, Outcome] = {
            each.solver: each for each in outcomes if each.evaluations <= count
        }
        best = sorted(within.values(), key=lambda each: float(getattr(each, measure)))[:BEST]
        told = ", ".join(f"{_name(each)} {getattr(each, measure):.1e}" for each in best)
        yield f"best of {count:>3}  {told or 'nothing ran'}"


def _refusals(skipped: Sequence[Skipped]) -> list[str]:
    """A line for each solver and reason, whatever the numbers in it, with its evaluations."""
    found: dict[tuple[str, str], list[Skipped]] = {}
    for each in skipped:
        found.setdefault((each.solver, re.sub(r"[\d.]+", "", each.reason)), []).append(each)
    return [
        f"skipped    {alike[0].solver} at {', '.join(str(e.evaluations or 'any') for e in alike)}: "
        f"{alike[0].reason}"
        for alike in found.values()
    ]


def _write(
    args: argparse.Namespace,
    notes: Sequence[str],
    outcomes: Sequence[Outcome],
    skipped: Sequence[Skipped],
) -> None:
    if args.json is not None:
        everything = {
            "notes": [" ".join(note.split()) for note in notes],
            "outcomes": [asdict(each) for each in outcomes],
            "skipped": [asdict(each) for each in skipped],
        }
        with replaced(args.json) as draft:
            draft.write_text(json.dumps(everything, indent=1) + "\n")
        print(f"wrote      {args.json}")
    if args.out is not None:
        with replaced(args.out) as draft:
            draft.write_text(_picture(args.measure, notes, outcomes))
        print(f"wrote      {args.out}")


def _picture(measure: str, notes: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Lines of all solvers; RMS errors only of those that they say something about."""
    from denoisert.runtime.measure.curves import Curve, curves

    exact = [each for each in outcomes if not each.is_random]
    is_split = measure == "rms" and 0 < len(exact) < len(outcomes)
    lines: dict[str, list[tuple[float, float]]] = {}
    for each in exact if is_split else outcomes:
        point = float(each.evaluations), float(getattr(each, measure))
        lines.setdefault(_name(each), []).append(point)
    told = [" ".join(note.split()) for note in notes]
    if is_split:
        told.append("left out: solvers that draw noise; --measure distance draws all")
    elif len(exact) < len(outcomes):
        told.append(f"{NOISE} draws noise")
    drawn = [Curve(name, tuple(points)) for name, points in lines.items()]
    return curves("Solvers: error against evaluations", QUANTITIES[measure], drawn, told)

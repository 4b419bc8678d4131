"""`denoisert schedule optimise`: noise levels that suit a network, written for `--schedule`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisert.runtime.cli import place, sampler, subjects
from denoisert.runtime.cli.output import check_place, replaced
from denoisert.runtime.cli.progress import progress
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.request import Request
    from denoisert.runtime.runtime import Runtime
    from denoisert.runtime.sampling.schedules import Levels, Spacing
    from denoisert.runtime.sampling.schedules.optimise import ErrorCurve, Objective

OBJECTIVES = ("variance", "klub")
STEPS = 10
SAMPLES, POINTS = 16, 4096
LEVELS, FINE_LEVELS = 32, 200
ORACLE_ENDS = 0.002, 80.0
MOST = 10_000
SUFFIX = ".json"


def add(subparsers: Subparsers) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser("schedule", help="find noise levels that suit a network")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    parser = verbs.add_parser(
        "optimise",
        help="find the noise levels of least cost",
        description="Measure the denoising error of a bundle's network, or of data known exactly, "
        "over the noise levels, and find the levels that make few steps cost least.",
        epilog="The file that --out names can be given to --schedule, with as many --steps.",
    )
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="a bundle's folder")
    parser.add_argument(
        "conditions",
        nargs="*",
        default=[],
        metavar="CONDITION",
        help="as for generate; they take turns",
    )
    parser.add_argument(
        "--oracle", choices=subjects.ORACLES, help="default mixture, where no BUNDLE is"
    )
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"default {STEPS}")
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default=OBJECTIVES[0],
        help="what is made small: the variance that first-order steps of the ODE lose (default), "
        "or the published bound for the SDE",
    )
    parser.add_argument(
        "--keep-last", action="store_true", help="end at the least level instead of 0"
    )
    _add_measure(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="the levels, for --schedule")
    parser.set_defaults(func=run)


def _add_measure(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("measure")
    group.add_argument("--data", type=Path, metavar="FILE.npy", help="clean latents of a bundle")
    group.add_argument("--samples", type=int, metavar="N", help=f"default {SAMPLES}, or {POINTS}")
    group.add_argument(
        "--levels", type=int, metavar="N", help=f"default {LEVELS}, or {FINE_LEVELS}"
    )
    group.add_argument("--sigma-min", type=float, metavar="S", help="least sigma / alpha")
    group.add_argument("--sigma-max", type=float, metavar="S", help="first sigma / alpha")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of data and noise")
    place.add_options(group)
    group.add_argument("--threads", type=int, metavar="N", help="default: all allowed cores")


def run(args: argparse.Namespace) -> int:
    """Measure, find, print, write.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: nothing of what is asked can run.
    """
    _check(args)
    from denoisert.runtime.sampling.notation import to_dict
    from denoisert.runtime.sampling.schedules import Final
    from denoisert.runtime.sampling.schedules.optimise import MOST_STEPS, Objective, optimise
    from denoisert.runtime.sampling.schedules.spacing import check_steps

    check_steps(args.steps, MOST_STEPS)  # before minutes of measuring
    curve, notes = _oracle_curve(args) if args.bundle is None else _bundle_curve(args)
    objective = Objective(args.objective)
    found = optimise(curve, args.steps, objective, Final.SPACED if args.keep_last else Final.ZERO)
    print("\n".join([*notes, *_report(curve, found, objective)]))
    if args.out is not None:
        with replaced(args.out) as draft:
            draft.write_text(json.dumps(to_dict(found)) + "\n")
        print(f"wrote      {args.out}; use it with --schedule {args.out} --steps {args.steps}")
    return 0


def read_spacing(text: str) -> Spacing:
    """What `--schedule` means: a name with its values, or a file that this verb wrote.

    Args:
        text: as it was typed.

    Raises:
        InvalidInput: an unknown name or field, or a file that holds no spacing.
    """
    from denoisert.runtime.sampling.names import SPACINGS
    from denoisert.runtime.sampling.notation import from_dict, parse

    if not text.endswith(SUFFIX):
        return parse(SPACINGS, text)
    try:
        data = json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"--schedule {text}: {error}. Give a file that `denoisert schedule optimise` wrote."
        ) from None
    return from_dict(data, SPACINGS)


def _check(args: argparse.Namespace) -> None:
    """Refuse before any work what does not belong together or cannot be written."""
    if args.bundle is not None and args.oracle:
        raise InvalidInput("a BUNDLE has its own data; leave --oracle out.")
    if args.bundle is None and args.data is not None:
        raise InvalidInput("--data belongs to a BUNDLE; an oracle has its own.")
    for option in ("samples", "levels"):
        number = getattr(args, option)
        if number is not None and not 2 <= number <= MOST:
            raise InvalidInput(f"--{option} {number} is outside 2 to {MOST}.")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed}: give at least 0.")
    bundle = Path("/nowhere") if args.bundle is None else args.bundle
    check_place("--out", args.out, SUFFIX, bundle)


def _oracle_curve(args: argparse.Namespace) -> tuple[ErrorCurve, list[str]]:
    import numpy as np

    from denoisert.runtime.measure.denoising import drawn, of_oracle
    from denoisert.runtime.measure.oracles import oracle
    from denoisert.runtime.sampling.schedules.optimise import measure

    name, count = args.oracle or subjects.ORACLES[0], args.samples or POINTS
    low = ORACLE_ENDS[0] if args.sigma_min is None else args.sigma_min
    high = ORACLE_ENDS[1] if args.sigma_max is None else args.sigma_max
    if not 0.0 < low < high < float("inf"):
        raise InvalidInput(f"levels from {low:g} to {high:g} must be above 0, finite and rising.")
    denoiser, width = oracle(name)
    clean = drawn(denoiser, args.seed, count, width)
    levels = np.geomspace(low, high, args.levels or FINE_LEVELS)
    curve = measure(of_oracle(denoiser), clean, levels, args.seed + 1)
    return curve, [f"oracle     {name}, {count} points of {width}, seed {args.seed}"]


def _bundle_curve(args: argparse.Namespace) -> tuple[ErrorCurve, list[str]]:
    from denoisert.runtime.measure.denoising import bundle_curve, levels_of
    from denoisert.runtime.runtime import Runtime

    opened = Runtime.open(args.bundle, devices=(place.target(args),), threads=args.threads)
    with opened as runtime:
        levels = levels_of(runtime.card, args.sigma_min, args.sigma_max, args.levels or LEVELS)
        requests, clean, source = _data(args, runtime)
        with progress("measuring", "level") as report:
            curve = bundle_curve(runtime, requests, clean, levels, report)
        return curve, [
            f"model      {runtime.card.name} {runtime.bundle_id[:8]}, {len(clean)} latents "
            f"{source}, {len(levels)} levels, seed {args.seed}",
        ]


def _data(args: argparse.Namespace, runtime: Runtime) -> tuple[list[Request], Any, str]:
    """Requests, one a latent, the latents, and where these are from."""
    from denoisert.runtime.measure.denoising import clean_latents
    from denoisert.runtime.measure.mix import Mix
    from denoisert.runtime.request import Request

    known = None if args.data is None else _read(args.data, args.samples)
    count = (args.samples or SAMPLES) if known is None else len(known)
    told: list[Any] = [sampler.condition_value(text, runtime.card) for text in args.conditions]
    if not told:
        told = [request.told.positive for request in Mix.of(runtime.card).every_kind()]
    requests = [Request(told[i % len(told)], seed=args.seed + i) for i in range(count)]
    if known is not None:
        return requests, known, f"from {args.data}"
    return requests, clean_latents(runtime, requests), "of its own making"


def _read(path: Path, count: int | None) -> Any:  # noqa: ANN401
    import numpy as np

    try:
        data = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"--data {path}: {error}. Give a .npy file of clean latents.") from None
    if not isinstance(data, np.ndarray) or data.ndim < 2 or data.dtype.kind != "f":
        raise InvalidInput(f"--data {path}: give floats of shape (samples, ...), not {data!r}.")
    return data.reshape(len(data), -1)[:count].astype(np.float32)


def _report(curve: ErrorCurve, found: Levels, objective: Objective) -> Iterator[str]:
    """Levels, and what they cost beside others between the same ends."""
    import numpy as np

    from denoisert.runtime.sampling.schedules import EDM, Exponential, Final, Karras
    from denoisert.runtime.sampling.schedules.optimise import cost

    path = EDM(float(curve.levels[0]), float(curve.levels[-1]))
    steps = found.steps
    for name, spacing in (
        ("karras", Karras(final=Final.SPACED)),
        ("exponential", Exponential(final=Final.SPACED)),
    ):
        levels = spacing.grid(path, steps).sigma
        yield f"before     {cost(curve, levels, objective):.6g}  {name}"
    levels = np.array([*found.levels[:-1], curve.levels[0]])
    yield f"after      {cost(curve, levels, objective):.6g}  {objective.value}"
    yield f"levels     {', '.join(f'{level:.6g}' for level in found.levels)}"

"""The options that choose a sampler, shared by the verbs that run or print one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from denoisert.runtime.sampling.guidance import Guidance
    from denoisert.runtime.sampling.schedules import Spacing
    from denoisert.runtime.sampling.solvers import Solver


class Choices(TypedDict):
    """The sampler fields of a `Request`; None takes what the card recommends."""

    steps: int | None
    solver: Solver | None
    schedule: Spacing | None
    guidance: Guidance | None


def add_sampler(parser: argparse.ArgumentParser) -> None:
    """Add the options; each defaults to what the bundle recommends."""
    group = parser.add_argument_group("sampler", "defaults are what the bundle recommends")
    group.add_argument("--steps", type=int, metavar="N", help="number of steps")
    group.add_argument("--solver", help="such as euler, dpmpp_2m or 'ddim(eta=0.5)'")
    group.add_argument("--schedule", help="such as trailing, linspace or 'karras(rho=5)'")
    group.add_argument("--guidance", type=float, metavar="G", help="scale; 1 means no guidance")
    group.add_argument("--rescale", type=float, metavar="PHI", default=0.0, help="CFG-rescale")
    group.add_argument(
        "--interval",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="noise levels sigma / alpha between which guidance acts",
    )


def read_sampler(arguments: argparse.Namespace) -> Choices:
    """What the options choose.

    Raises:
        InvalidInput: an unknown name or a value outside its range.
    """
    from denoisert.runtime.sampling import names

    solver, schedule = arguments.solver, arguments.schedule
    return {
        "steps": arguments.steps,
        "solver": names.parse(names.SOLVERS, solver) if solver else None,
        "schedule": names.parse(names.SPACINGS, schedule) if schedule else None,
        "guidance": _guidance(arguments),
    }


def _guidance(arguments: argparse.Namespace) -> Guidance | None:
    from denoisert.runtime.errors import InvalidInput
    from denoisert.runtime.sampling.guidance import CFG

    if arguments.guidance is None:
        if arguments.rescale or arguments.interval:
            raise InvalidInput("--rescale and --interval change guidance; give --guidance as well.")
        return None
    interval = tuple(arguments.interval) if arguments.interval else None
    return CFG(arguments.guidance, interval, arguments.rescale)

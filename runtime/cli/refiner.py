"""The options of a second network that ends what the first began, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.plan import Plan
    from denoisert.runtime.programs.refine import Refined
    from denoisert.runtime.request import Request
    from denoisert.runtime.runtime import Runtime


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --refiner and --switch."""
    parser.add_argument(
        "--refiner", type=Path, metavar="BUNDLE", help="a second network that takes the last steps"
    )
    parser.add_argument(
        "--switch",
        type=float,
        metavar="S",
        help="share of the run that is behind when --refiner takes over, 0 to 1, default 0.8",
    )


@contextmanager
def joined(
    args: argparse.Namespace, base: Runtime, open_bundle: Callable[[Path], Runtime]
) -> Iterator[Runtime | Refined]:
    """The base alone, or both networks as one; the refiner is closed behind the block.

    Args:
        args: with refiner and switch.
        base: open.
        open_bundle: opens the refiner as the base was opened.

    Raises:
        DenoiseRTError: a refiner that does not open or does not fit, or a switch without one.
    """
    if args.refiner is None:
        if args.switch is not None:
            raise InvalidInput("--switch needs --refiner BUNDLE, which takes over there.")
        yield base
        return
    from denoisert.runtime.programs.refine import SHARE, Refined

    with open_bundle(args.refiner) as refiner:
        yield Refined(base, refiner, SHARE if args.switch is None else args.switch)


def plans(network: Runtime | Refined, request: Request) -> tuple[Plan, ...]:
    """What every part of a request will run and cost."""
    found = network.plan(request)
    return found if isinstance(found, tuple) else (found,)

"""`denoisert inspect --plan`: which target, engine, profile and bucket serve a request, and why."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from denoisert.runtime.cli import place, sampler
from denoisert.runtime.cli.cache import default_cache
from denoisert.runtime.cli.size import read_size
from denoisert.runtime.errors import Incompatible, InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.open import Bundle
    from denoisert.runtime.engines.choice import Choice
    from denoisert.runtime.engines.target import Target
    from denoisert.runtime.route import Route

DEFAULT_SIZE: Final = (0, 0)
"""`--plan` without a size."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --plan and what it is told about the request."""
    group = parser.add_argument_group("plan", "What would serve a request; nothing is loaded.")
    group.add_argument(
        "--plan",
        nargs="?",
        type=read_size,
        const=DEFAULT_SIZE,
        metavar="HxW",
        help="say which target, engine, profile and bucket serve a request of this size, and why "
        "other engines of the bundle do not; default: the first size",
    )
    group.add_argument(
        "--images", type=int, default=1, metavar="N", help="pictures of the request, default 1"
    )
    place.add_options(group)


def run(args: argparse.Namespace, bundle: Bundle) -> None:
    """Print the route of a request, for people or as JSON.

    Args:
        args: parsed options.
        bundle: the opened bundle.

    Raises:
        Incompatible: the bundle has nothing that runs on the device, here or anywhere; or, after
            the route, what keeps it from running here.
        OutOfProfile: a size that is not compiled.
        InvalidInput: an option that makes no sense.
    """
    wanted = place.target(args)
    choice, refusal = _choice(bundle, wanted)
    route = _route(args, bundle, choice)
    if args.json:
        print(json.dumps(_plain(route, choice)))
    else:
        print("\n".join([*route.lines, *choice.against]))
    if refusal is not None:
        raise refusal


def _choice(bundle: Bundle, wanted: str | Target) -> tuple[Choice, Incompatible | None]:
    """What runs it here; where nothing does, what would elsewhere, and what is missing here."""
    from denoisert.runtime.engines import driver
    from denoisert.runtime.engines.choice import ON_CPU, choose, foresee
    from denoisert.runtime.engines.target import is_cuda
    from denoisert.runtime.measure.profile import measured_seconds
    from denoisert.runtime.options import Options

    seconds = measured_seconds(bundle.id, ON_CPU, default_cache(), Options().share)
    try:
        choice = choose(bundle, wanted, seconds)
    except Incompatible as error:
        return foresee(bundle, wanted), error
    device = choice.target.device
    if is_cuda(device) and not driver.capabilities():  # torch would tell when it is opened
        lack = f"{device} was asked for, and the driver shows no NVIDIA GPU here."
        return foresee(bundle, wanted), Incompatible(lack)
    return choice, None


def _route(args: argparse.Namespace, bundle: Bundle, choice: Choice) -> Route:
    """Of as many pictures as run at the same time, every branch of each in a lane."""
    from denoisert.runtime.bundle.nearest import check_size
    from denoisert.runtime.bundle.sizes import layout_of
    from denoisert.runtime.options import SLOTS
    from denoisert.runtime.plan import widest_row
    from denoisert.runtime.route import route_of
    from denoisert.runtime.sampler import Sampler, compile_table

    card = bundle.card
    size = None if args.plan == DEFAULT_SIZE else args.plan
    check_size(card, size)
    if args.images < 1:
        raise InvalidInput(f"--images {args.images}: give at least 1.")
    request = sampler.request(args, card, images=args.images)
    chosen = Sampler.of(request, card)
    read = chosen.solver.rows(chosen.grid(card)).basis.externals
    table = compile_table(replace(chosen, given=read), card)
    lanes = widest_row(table) * min(args.images, SLOTS)
    return route_of(bundle, choice, layout_of(card, size), lanes)


def _plain(route: Route, choice: Choice) -> dict[str, object]:
    return {
        "target": choice.key,
        "reason": route.reason,
        "engine": route.path,
        "profiles": [str(profile) for profile in route.profiles],
        "served": list(route.served),
        "size": route.size,
        "lanes": route.lanes,
        "buckets": [call.bucket for call in route.calls],
        "padding": route.padding,
        "passed": dict(choice.passed),
    }

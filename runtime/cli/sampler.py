"""The options that choose a sampler, shared by the verbs that need one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.request import Condition, Request
    from denoisert.runtime.sampling.guidance import EmbeddedGuidance, Guidance


OPTIONS = ("steps", "solver", "schedule", "guidance", "beside", "rescale", "interval")


def add_options(
    parser: argparse.ArgumentParser,
    prefix: str = "",
    title: str = "sampler",
    otherwise: str = "What is left out, the model's card recommends.",
) -> None:
    """Add the sampler's options.

    Args:
        parser: where they go.
        prefix: before every option's name, for example "b-".
        title: of the group in the help.
        otherwise: what happens where one is left out.
    """
    group = parser.add_argument_group(title, otherwise)
    group.add_argument(f"--{prefix}steps", type=int, metavar="N", help="number of steps")
    group.add_argument(
        f"--{prefix}solver",
        metavar="NAME",
        help="for example euler or 'ddim(eta=0.5)'; an unknown name lists all",
    )
    group.add_argument(
        f"--{prefix}schedule",
        metavar="NAME",
        help="where the steps lie, for example trailing or 'exponential(sigma_min=0.01, "
        "sigma_max=50)'; an unknown name lists all; or a file that "
        "`denoisert schedule optimise` wrote",
    )
    _add_guidance(group, prefix)


def _add_guidance(group: argparse._ArgumentGroup, prefix: str) -> None:
    """How branches combine, and what a network is told."""
    group.add_argument(
        f"--{prefix}guidance",
        type=float,
        metavar="G",
        help="guidance scale; 1 means no guidance; told to a network that takes a scale",
    )
    group.add_argument(
        f"--{prefix}beside",
        type=float,
        metavar="G",
        help="guidance scale of a second branch, beside the one that a network is told "
        "(true_cfg_scale of diffusers)",
    )
    group.add_argument(
        f"--{prefix}rescale", type=float, metavar="PHI", help="CFG-rescale, 0 (off) to 1"
    )
    group.add_argument(
        f"--{prefix}interval",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="guide only where LOW < sigma / alpha <= HIGH",
    )


def overridden(args: argparse.Namespace, prefix: str) -> argparse.Namespace:
    """The options with those of a prefix in place of the plain ones, where they were given.

    Args:
        args: parsed options.
        prefix: as for `add_options`.
    """
    start = prefix.replace("-", "_")
    found = {name: getattr(args, f"{start}{name}") for name in OPTIONS}
    given = {name: value for name, value in found.items() if value is not None}
    return argparse.Namespace(**{**vars(args), **given})


def condition_value(text: str, card: Card) -> int | str:
    """A prompt as it is; a class by its name, else by its number, which the runtime checks.

    Args:
        text: as it was typed.
        card: of the model.
    """
    if card.texts or any(text in entry.labels for entry in card.conditions):
        return text
    try:
        return int(text)
    except ValueError:
        return text


def request(
    args: argparse.Namespace,
    card: Card,
    condition: Condition | None = None,
    *,
    seed: int = 0,
    images: int = 1,
) -> Request:
    """The request that the options describe.

    Args:
        args: parsed options.
        card: of the model; it says which guidance `--rescale` and `--interval` change.
        condition: what the network is told.
        seed: of its noise.
        images: number of pictures.

    Returns:
        A request without what the options leave to the card.

    Raises:
        InvalidInput: an unknown name, or a value outside its range.
    """
    from denoisert.runtime.cli.schedule import read_spacing
    from denoisert.runtime.request import Request
    from denoisert.runtime.sampling.names import SOLVERS
    from denoisert.runtime.sampling.notation import parse

    return Request(
        condition,
        seed=seed,
        images=images,
        steps=args.steps,
        solver=None if args.solver is None else parse(SOLVERS, args.solver),
        schedule=None if args.schedule is None else read_spacing(args.schedule),
        guidance=_guidance(args, card),
    )


def _guidance(args: argparse.Namespace, card: Card) -> Guidance | None:
    """A new rule from `--guidance`, or the card's with what the other options change."""
    from denoisert.runtime.sampling.guidance import CFG

    changes: dict[str, object] = {}
    if args.rescale is not None:
        changes["rescale"] = args.rescale
    if args.interval is not None:
        changes["interval"] = tuple(args.interval)
    if card.network.guidance or args.beside is not None:
        return _embedded(args, card, changes)
    if args.guidance is not None:
        return replace(CFG(args.guidance), **changes)  # type: ignore[arg-type]
    if not changes:
        return None
    advice = card.sampler.guidance
    if not isinstance(advice, CFG):
        raise InvalidInput(
            f"--{' and --'.join(changes)} change guidance, but the card recommends {advice!r}. "
            "Add --guidance G."
        )
    return replace(advice, **changes)  # type: ignore[arg-type]


def _embedded(
    args: argparse.Namespace, card: Card, changes: dict[str, object]
) -> EmbeddedGuidance | None:
    """The scale that a network is told, and a second branch beside it where one is asked for."""
    from denoisert.runtime.sampling.guidance import CFG, EmbeddedGuidance

    advice, scale = card.sampler.guidance, args.guidance
    if not card.network.guidance:
        raise InvalidInput(
            f"--beside {args.beside:g} is a second branch beside a scale that the network is told, "
            f"and {card.name} is told none. Give --guidance G alone."
        )
    if args.beside is None and changes:
        raise InvalidInput(
            f"--{' and --'.join(changes)} change how two branches combine, and {card.name} is told "
            "its scale in one. Add --beside G."
        )
    if args.beside is None:
        return None if scale is None else EmbeddedGuidance(scale)
    told = advice if isinstance(advice, EmbeddedGuidance) else EmbeddedGuidance()
    beside = replace(CFG(args.beside), **changes)  # type: ignore[arg-type]
    return EmbeddedGuidance(told.scale if scale is None else scale, beside)

"""What the network is told: prompts or classes, and values by name beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from denoisert.runtime.cli import sampler
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.request import Condition, Value


SHOWN = 5  # names of classes in a message


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --negative, --condition and --negative-condition."""
    parser.add_argument("--negative", metavar="CONDITION", help="condition of the uncond branch")
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value by its name, as crop_top=0, score=6.5, or the prompt of one text encoder; "
        "may be repeated",
    )
    parser.add_argument(
        "--negative-condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the same for the uncond branch, which otherwise is told the same sizes",
    )


def conditions(args: argparse.Namespace, card: Card) -> list[Condition]:
    """One condition per request; a network without conditioning has one request.

    Args:
        args: with conditions and the options above.
        card: of the model.

    Raises:
        InvalidInput: nothing at all for a network that is told something, a value without a name,
            or one that is said twice.
    """
    from denoisert.runtime.request import Condition

    _check_said(args, card)
    texts: Sequence[str | None] = args.conditions or [None]
    negative = _value(args.negative, args.negative_condition, card)
    return [Condition(_value(text, args.condition, card), negative) for text in texts]


def _value(text: str | None, named: Sequence[str], card: Card) -> Value:
    plain = None if text is None else sampler.condition_value(text, card)
    if not named:
        return plain
    from denoisert.runtime.conditioning import PROMPT

    prompts = {PROMPT, *(encoder.name for encoder in card.texts)}
    values: dict[str, object] = {} if plain is None else {_name(card): plain}
    for word in named:
        name, is_named, value = word.partition("=")
        if not name or not is_named:
            raise InvalidInput(f"{word!r} names no value; write NAME=VALUE, as crop_top=0.")
        if name in values:
            raise InvalidInput(
                f"{name!r} is said twice, {values[name]!r} and {value!r}. Say it once; a CONDITION "
                f"counts as {_name(card)}=CONDITION."
            )
        values[name] = value if name in prompts else _number(value)
    return values


def _check_said(args: argparse.Namespace, card: Card) -> None:
    """Refuse to ask nothing of a network that has to be told something.

    Raises:
        InvalidInput: says what a CONDITION is for this model.
    """
    from denoisert.runtime.bundle.condition import Source

    if args.conditions or args.condition:
        return
    labels = [entry for entry in card.conditions if entry.source is Source.CLASS_LABEL]
    if card.texts:
        what = "a prompt, such as 'a red apple'"
    elif labels:
        known = f"0 to {labels[0].classes - 1}"
        what = f"a class, {', '.join(labels[0].labels[:SHOWN]) or known}"
    else:
        return
    raise InvalidInput(f"{card.name} has to be told {what}: denoisert generate BUNDLE CONDITION.")


def _name(card: Card) -> str:
    """Where a CONDITION without a name goes."""
    from denoisert.runtime.bundle.condition import Source
    from denoisert.runtime.conditioning import PROMPT

    labels = [entry.name for entry in card.conditions if entry.source is Source.CLASS_LABEL]
    return PROMPT if card.texts or not labels else labels[0]


def _number(text: str) -> float | int | str:
    """A number where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

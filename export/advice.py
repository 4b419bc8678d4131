"""Whether what a card recommends can run at all: asked before anything is compiled."""

from __future__ import annotations

from dataclasses import replace

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampler import Sampler, compile_table


def check_card(card: object) -> None:
    """Refuse what is no card, where one was passed.

    Raises:
        InvalidInput: says how a card is read from a dictionary or a file.
    """
    if card is None or isinstance(card, Card):
        return
    raise InvalidInput(
        f"card is a {type(card).__name__}, and a Card is needed. Pass Card.from_dict(values), or "
        "Card.from_json(Path('card.json').read_bytes()) for a file."
    )


def check_advice(card: Card) -> None:
    """Refuse a card whose recommended sampler no request could run.

    Args:
        card: of the model.

    Raises:
        InvalidInput: solver, schedule, steps and guidance do not fit together, or not the network.
    """
    advice = card.sampler
    sampler = Sampler(advice.solver, advice.spacing, advice.steps, advice.guidance)
    try:
        grid = sampler.grid(card)
        read = advice.solver.rows(grid).basis.externals  # of a request, as a start or a mask
        compile_table(replace(sampler, given=read), card)
    except (InvalidInput, InvalidTable) as error:
        raise InvalidInput(
            f"the card of {card.name} recommends {advice.solver!r} on {advice.spacing!r} in "
            f"{advice.steps} steps with {advice.guidance!r}, which cannot run: {error}"
        ) from error

"""The phases of a request that hold weights of their own."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from denoisert.runtime.errors import InvalidInput


class Phase(Enum):
    """What is loaded when it is first used, together."""

    TEXT = "text"
    """Text encoders."""

    DENOISER = "denoiser"
    """The network that ticks run."""

    CODEC = "codec"
    """Decoder and image encoder."""


RELEASABLE = (Phase.TEXT, Phase.CODEC)
"""What can leave memory while a runtime is open."""


def phases_of(asked: Iterable[object]) -> tuple[Phase, ...]:
    """Each phase once, all of them where none is named.

    Raises:
        InvalidInput: something else than a phase.
    """
    found = tuple(dict.fromkeys(asked))
    for each in found:
        if not isinstance(each, Phase):
            raise InvalidInput(f"{each!r} is no phase. Give some of {', '.join(map(str, Phase))}.")
    return tuple(each for each in Phase if each in found or not found)


def check_releasable(asked: Iterable[object]) -> None:
    """Refuse what cannot leave memory while the runtime is open.

    Raises:
        InvalidInput: something else than a phase, or the denoiser.
    """
    found = tuple(asked)
    if found and Phase.DENOISER in phases_of(found):
        raise InvalidInput(
            "the denoiser stays in memory from its first tick on, since pools are bound to it; "
            f"{Phase.TEXT} and {Phase.CODEC} can be released. Close the runtime to release it all."
        )

"""How a card holds what JSON has no word for: layout, solver, schedule, spacing, guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from denoisert.runtime.bundle.document import Plain, canonical
from denoisert.runtime.bundle.typed import Codec, decode
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.guidance import Guidance
from denoisert.runtime.sampling.names import (
    GUIDANCE,
    SCHEDULES,
    SOLVERS,
    SPACINGS,
)
from denoisert.runtime.sampling.notation import from_dict, to_dict
from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
from denoisert.runtime.sampling.solvers import Solver


def _named(known: Mapping[str, type]) -> Codec:
    """The codec of one table of `sampling/names.py`; a name from another table is refused."""

    def decode_named(data: Plain, where: str) -> object:
        try:
            canonical(data)  # refuses NaN, which a table of names lets pass
            return from_dict(data, known)
        except (InvalidInput, OverflowError) as error:
            raise InvalidInput(f"{where}: {error}") from error

    return Codec(to_dict, decode_named)


def _decode_layout(data: Plain, where: str) -> StateLayout:
    parts = decode(tuple[Part, ...], data, where, {})
    try:
        return StateLayout(parts)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


CODECS: Mapping[Any, Codec] = {
    StateLayout: Codec(StateLayout.to_dict, _decode_layout),
    Solver: _named(SOLVERS),
    NoiseSchedule: _named(SCHEDULES),
    Spacing: _named(SPACINGS),
    Guidance: _named(GUIDANCE),
}

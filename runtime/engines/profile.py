"""A range of shapes that an engine was compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from denoisert.runtime.errors import InvalidInput

LANES = "lanes"
"""The axis that every port has first."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Least, usual and largest length of every named axis.

    Args:
        axes: name, for example "lanes" or "height" -> (least, usual, most).

    Raises:
        InvalidInput: lengths that do not ascend, or below 1.
    """

    axes: Mapping[str, tuple[int, int, int]]

    def __post_init__(self) -> None:
        for name, (least, usual, most) in self.axes.items():
            if not 1 <= least <= usual <= most:
                raise InvalidInput(
                    f"{name} from {least} over {usual} to {most}: a profile's lengths ascend and "
                    "are at least 1."
                )

    @property
    def is_static(self) -> bool:
        """Whether it holds one shape only."""
        return all(least == most for least, _, most in self.axes.values())

    def holds(self, lengths: Mapping[str, int]) -> bool:
        """Whether these lengths lie inside; names that it does not have are passed over."""
        pairs = ((lengths[name], bounds) for name, bounds in self.axes.items() if name in lengths)
        return all(least <= length <= most for length, (least, _, most) in pairs)

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {least}" if least == most else f"{name} {least} to {most}"
            for name, (least, _, most) in self.axes.items()
        )

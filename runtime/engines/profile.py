"""A range of shapes that an engine was compiled for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        for name, lengths in self.axes.items():
            if len(lengths) != 3 or lengths[0] < 1 or list(lengths) != sorted(lengths):
                raise InvalidInput(
                    f"{name} {tuple(lengths)}: a profile has least, usual and most, ascending and "
                    "at least 1."
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


def profile_buckets(profiles: Sequence[Profile]) -> tuple[int, ...]:
    """Every number of lanes that some profile holds, ascending; none without profiles."""
    spans = (profile.axes[LANES] for profile in profiles if LANES in profile.axes)
    return tuple(sorted({lanes for least, _, most in spans for lanes in range(least, most + 1)}))

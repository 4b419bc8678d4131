"""Ranges of shapes that an engine was compiled for, and which of them serves a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from denoisert.runtime.engines.engine import LARGEST_BUCKET, Port, lane_buckets
from denoisert.runtime.errors import InvalidInput, OutOfProfile

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
            for name, (least, _, most) in sorted(self.axes.items(), key=_lanes_first)
        )


def _lanes_first(axis: tuple[str, object]) -> bool:
    return axis[0] != LANES


def profile_buckets(profiles: Sequence[Profile]) -> tuple[int, ...]:
    """Every number of lanes that some profile holds, ascending; none without profiles."""
    spans = (profile.axes[LANES] for profile in profiles if LANES in profile.axes)
    return tuple(sorted({lanes for least, _, most in spans for lanes in range(least, most + 1)}))


def buckets_at(
    outputs: Sequence[Port], profiles: Sequence[Profile], sizes: Mapping[str, int]
) -> tuple[int, ...]:
    """The lane counts that an engine can be bound at.

    Args:
        outputs: of the engine.
        profiles: that it was compiled for; none where it takes all that its ports allow.
        sizes: lengths of named axes that are fixed already.

    Returns:
        Lane counts, ascending.

    Raises:
        OutOfProfile: no profile holds these sizes.
        BuildError: outputs that no engine could have.
    """
    every = lane_buckets(outputs, LARGEST_BUCKET)
    if not profiles:
        return every
    fitting = [profile for profile in profiles if profile.holds(sizes)]
    if not fitting:
        raise _outside(profiles, sizes)
    found = tuple(
        lanes for lanes in every if any(profile.holds({LANES: lanes}) for profile in fitting)
    )
    if not found:
        raise _outside(fitting, {**sizes, LANES: every[-1]})
    return found


def choose_profile(profiles: Sequence[Profile], lengths: Mapping[str, int]) -> int:
    """The tightest profile that holds a call.

    Args:
        profiles: that the engine was compiled for, in their order.
        lengths: of the named axes of the call.

    Returns:
        Its number, 0 without profiles; of two that are as large the one whose usual shape is
        nearer, then the first.

    Raises:
        OutOfProfile: none holds it.
    """
    if not profiles:
        return 0
    held = [number for number, profile in enumerate(profiles) if profile.holds(lengths)]
    if not held:
        raise _outside(profiles, lengths)
    return min(held, key=lambda number: (*_looseness(profiles[number], lengths), number))


def _outside(profiles: Sequence[Profile], lengths: Mapping[str, int]) -> OutOfProfile:
    asked = ", ".join(f"{name} {length}" for name, length in lengths.items())
    return OutOfProfile(
        f"{asked} asked for; the engine is compiled for {'; '.join(map(str, profiles))}. Ask for a "
        "size inside, or compile the model again with --size and --batch."
    )


def _looseness(profile: Profile, lengths: Mapping[str, int]) -> tuple[int, float]:
    """How many elements its largest shape has, and how far its usual one is."""
    axes = profile.axes.items()
    volume = prod(most for _, (_, _, most) in axes)
    far = sum(abs(lengths.get(name, usual) / usual - 1.0) for name, (_, usual, _) in axes)
    return volume, far

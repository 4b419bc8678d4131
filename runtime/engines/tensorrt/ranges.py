"""Which of an engine's profiles holds a call, told from numbers alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from denoisert.runtime.engines.engine import LARGEST_BUCKET, Port, lane_buckets
from denoisert.runtime.engines.profile import LANES, Profile
from denoisert.runtime.errors import OutOfProfile


def choose_profile(profiles: Sequence[Profile], lengths: Mapping[str, int]) -> int:
    """The number of the tightest profile that holds a call.

    Args:
        profiles: that the engine was compiled for, in order.
        lengths: of the named axes of the call; none where nothing varies.

    Returns:
        Its number; of two that are as large the one whose usual shape is nearer, then the first.

    Raises:
        OutOfProfile: none holds it.
    """
    if not profiles:
        return 0
    held = [number for number, profile in enumerate(profiles) if profile.holds(lengths)]
    if not held:
        asked = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise OutOfProfile(
            f"{asked} asked for; the engine is compiled for {spelled(profiles)}. Ask for a size "
            "inside, or compile the model again with --size and --batch."
        )
    return min(held, key=lambda number: (*_looseness(profiles[number], lengths), number))


def _looseness(profile: Profile, lengths: Mapping[str, int]) -> tuple[int, float]:
    """How many elements the largest shape has, and how far the usual one is."""
    axes = profile.axes.items()
    volume = prod(most for _, (_, _, most) in axes)
    far = sum(abs(lengths.get(name, usual) / usual - 1.0) for name, (_, usual, _) in axes)
    return volume, far


def spelled(profiles: Iterable[Profile]) -> str:
    """Profiles in words."""
    return "; ".join(str(profile) for profile in profiles)


def buckets_of(
    outputs: Sequence[Port], profiles: Sequence[Profile], sizes: Mapping[str, int]
) -> tuple[int, ...]:
    """The lane counts that some profile holds at these sizes.

    Args:
        outputs: of the engine.
        profiles: that it was compiled for.
        sizes: lengths of its named axes that are fixed already.

    Raises:
        OutOfProfile: no profile holds the sizes, whatever the lanes.
        BuildError: outputs that no engine could have.
    """
    every = lane_buckets(outputs, LARGEST_BUCKET)
    fitting = [profile for profile in profiles if profile.holds(sizes)]
    if profiles and not fitting:
        choose_profile(profiles, sizes)
    if not profiles or len(every) == 1:
        return every
    found = tuple(
        lanes for lanes in every if any(profile.holds({LANES: lanes}) for profile in fitting)
    )
    if not found:
        choose_profile(fitting, {**sizes, LANES: every[-1]})
    return found

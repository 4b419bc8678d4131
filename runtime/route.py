"""Which engine, profile and bucket serve a request, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.bundle.sizes import pixel_size, state_sizes
from denoisert.runtime.engines.choice import Choice
from denoisert.runtime.engines.engine import ports_at
from denoisert.runtime.engines.loading import DENOISER, graph_entry
from denoisert.runtime.engines.profile import LANES, Profile, buckets_at, choose_profile
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.lanes import Call, calls


@dataclass(frozen=True, slots=True)
class Route:
    """What one tick of a request runs of its denoiser.

    Args:
        reason: target, and why it was chosen.
        path: of the engine's file.
        profiles: that the engine was compiled for, in their order.
        size: (height, width) of a picture in pixels; None of a state without pixels.
        calls: of the engine, in order.
        served: number of the profile that serves each call; none where there are no profiles.
    """

    reason: str
    path: str
    profiles: tuple[Profile, ...]
    size: tuple[int, int] | None
    calls: tuple[Call, ...]
    served: tuple[int, ...]

    @property
    def lanes(self) -> int:
        """Evaluations of the tick."""
        return sum(call.lanes for call in self.calls)

    @property
    def padding(self) -> int:
        """Lanes that are computed and never read."""
        return sum(call.bucket for call in self.calls) - self.lanes

    @property
    def lines(self) -> tuple[str, str, str]:
        """Target, engine with profile, and bucket."""
        return (
            f"target   {self.reason}",
            f"engine   {self.path}, {self._profile}",
            f"bucket   {self._bucket}",
        )

    @property
    def _profile(self) -> str:
        if not self.profiles:
            return "for every shape that its inputs allow"
        count = len(self.profiles)
        used = (f"profile {n + 1} of {count} ({self.profiles[n]})" for n in sorted({*self.served}))
        return " and ".join(used)

    @property
    def _bucket(self) -> str:
        where = "" if self.size is None else f"{self.size[0]}x{self.size[1]}: "
        buckets = ", then ".join(str(call.bucket) for call in self.calls)
        padding = f", {self.padding} of them padding" if self.padding else ""
        many = f"{len(self.calls)} calls, buckets " if len(self.calls) > 1 else "bucket "
        return f"{where}{_counted(self.lanes, 'lane')} in {many}{buckets}{padding}"


def route_of(bundle: Bundle, choice: Choice, layout: StateLayout, lanes: int) -> Route:
    """The route of a tick.

    Args:
        bundle: the opened bundle.
        choice: what runs it.
        layout: one of its card's.
        lanes: evaluations, at least 1.

    Raises:
        Incompatible: the target has no denoiser.
        OutOfProfile: no profile holds the layout, or its lanes.
    """
    entry = graph_entry(bundle, choice, DENOISER)
    sizes = state_sizes(bundle.card, layout)
    found = tuple(calls(lanes, _buckets(entry, sizes)))
    served = _served(entry.profiles, sizes, found)
    size = pixel_size(bundle.card, layout)
    return Route(choice.reason, entry.path, entry.profiles, size, found, served)


def _buckets(entry: GraphEntry, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return buckets_at(ports_at(entry.outputs, sizes), entry.profiles, sizes)


def _served(
    profiles: Sequence[Profile], sizes: Mapping[str, int], found: Sequence[Call]
) -> tuple[int, ...]:
    if not profiles:
        return ()
    return tuple(choose_profile(profiles, {**sizes, LANES: call.bucket}) for call in found)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

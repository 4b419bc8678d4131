"""Which planner plans a request: the one of its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.measure.profile import Profile
from denoisert.runtime.planner import Planned, Planner
from denoisert.runtime.request import Request
from denoisert.runtime.sampler import TableCache
from denoisert.runtime.text.tokenizer import Tokenizer


class Planners:
    """The planners of one runtime.

    Args:
        planners: one for each layout; the first plans requests without a size.
    """

    @classmethod
    def of(
        cls,
        denoisers: Sequence[Denoiser],
        tables: TableCache,
        reason: str,
        slots: int,
        *,
        tokenizers: Mapping[str, Tokenizer],
        profile: Profile | None,
        notes: tuple[str, ...] = (),
    ) -> Planners:
        """One planner for each denoiser, with the same tables; see `Planner`."""
        planners = (
            Planner(
                each, tables, reason, slots, tokenizers=tokenizers, profile=profile, notes=notes
            )
            for each in denoisers
        )
        return cls(tuple(planners))

    def __init__(self, planners: Sequence[Planner]) -> None:
        self._first = planners[0]
        self._by_size = {planner.size: planner for planner in planners}
        self._planners = tuple(planners)

    @property
    def card(self) -> Card:
        """Of the bundle."""
        return self._first.card

    @property
    def smallest_pools(self) -> Mapping[StateLayout, int]:
        """Bytes of every layout's pool before it has grown."""
        return dict(planner.smallest_pool for planner in self._planners)

    def plan(self, request: Request, previews: int = 0) -> Planned:
        """Plan a request at its size; see `Planner.plan`.

        Args:
            request: what is asked.
            previews: show a clean estimate every so many steps, 0 never.

        Raises:
            InvalidInput: a value the model or the solver cannot honour.
            OutOfProfile: a size that is not compiled; names those that are.
            OutOfMemory: it needs more than its limit.
        """
        size = None if request.size is None else (request.size[0], request.size[1])
        planner = self._first if size is None else self._by_size.get(size, self._first)
        return planner.plan(request, previews)  # the first refuses a size that nobody has

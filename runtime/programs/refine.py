"""One run divided between two networks: a base takes the first steps, a refiner the last ones.

Both divide the same run, so its number of steps is that of both; each keeps its own guidance,
solver and schedule where the request names none. The latent goes from one to the other as it is,
in memory; what the base leaves is not decoded.

Source: Podell et al. 2023, arXiv 2307.01952, section 2.5; Balaji et al. 2022, arXiv 2211.01324
(ensemble of expert denoisers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

from denoisert.runtime.batch import Progress, listed
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.plan import Plan
from denoisert.runtime.programs.handover import Handover
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result
from denoisert.runtime.runtime import Runtime

SHARE = 0.8


def refine(base: Runtime, refiner: Runtime, request: Request, *, share: float = SHARE) -> Result:
    """Generate with two networks.

    Args:
        base: takes the first steps.
        refiner: takes the rest; of the same state, trained on the same noise schedule.
        request: of both; a name in its condition that only one of them knows goes to that one.
        share: of the training times, how much is behind when the refiner begins, in (0, 1).

    Returns:
        The refiner's pictures; `phases` and `nfe` are those of both together.

    Raises:
        DenoiseRTError: the two do not fit together, an impossible request, or its own error.
    """
    return Refined(base, refiner, share).generate(request)


@dataclass(frozen=True, slots=True)
class Refined:
    """Two networks as one.

    Args:
        base: takes the first steps.
        refiner: takes the rest.
        share: of the training times, how much is behind when the refiner begins, in (0, 1).

    Raises:
        InvalidInput: a share outside its range, or two networks of different states or schedules.
    """

    base: Runtime
    refiner: Runtime
    share: float = SHARE

    def __post_init__(self) -> None:
        self._handover  # noqa: B018  refuses two that do not fit

    @property
    def card(self) -> Card:
        """Of the base, which says what a request leaves open."""
        return self.base.card

    @property
    def bundle_id(self) -> str:
        """Of both bundles."""
        return f"{self.base.bundle_id} + {self.refiner.bundle_id}"

    def plan(self, request: Request) -> tuple[Plan, Plan]:
        """Validate a request and say what both parts will run and cost.

        Raises:
            DenoiseRTError: see `Runtime.plan`, of either network.
        """
        listed([request])
        between = self._handover
        between.check(request)
        return self.base.plan(between.first(request)), self.refiner.plan(between.second(request))

    @overload
    def generate(
        self, requests: Request, *, progress: Progress | None = None, trace: Trace | None = None
    ) -> Result: ...

    @overload
    def generate(
        self,
        requests: Sequence[Request],
        *,
        progress: Progress | None = None,
        trace: Trace | None = None,
    ) -> list[Result]: ...

    def generate(
        self,
        requests: Request | Sequence[Request],
        *,
        progress: Progress | None = None,
        trace: Trace | None = None,
    ) -> Result | list[Result]:
        """Run one request or several, first all of them on the base, then on the refiner.

        Every request is validated on both networks before any work starts.

        Args:
            requests: one request or a sequence.
            progress: called with (rows done, rows in all) of the base, then of the refiner.
            trace: collects the spans of the run.

        Returns:
            As many results as requests; see `Runtime.generate`.

        Raises:
            DenoiseRTError: an impossible request, or the single request's own error.
        """
        asked, between = listed(requests), self._handover
        for request in asked:
            self.plan(request)
        firsts = [between.first(request) for request in asked]
        begun = self.base.generate(firsts, progress=progress, trace=trace)
        pairs = [pair for pair in zip(asked, begun, strict=True) if pair[1].error is None]
        seconds = [between.second(request, found.flat) for request, found in pairs]
        ended = iter(self.refiner.generate(seconds, progress=progress, trace=trace))
        results = [each if each.error else _joined(each, next(ended)) for each in begun]
        if not isinstance(requests, Request):
            return results
        if results[0].error is not None:
            raise results[0].error
        return results[0]

    @property
    def _handover(self) -> Handover:
        return Handover(self.base.card, self.refiner.card, self.share)


def _joined(first: Result, second: Result) -> Result:
    """The second result with the time, evaluations and notes of both."""
    names = dict.fromkeys([*first.phases, *second.phases])
    phases = {name: first.phases.get(name, 0.0) + second.phases.get(name, 0.0) for name in names}
    notes = tuple(dict.fromkeys([*first.notes, *second.notes]))
    return replace(second, phases=phases, nfe=first.nfe + second.nfe, notes=notes)

"""From a request and a card to a sampler table: validated, completed, cached."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.bundle.sizes import layout_of
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Noised, Request, Start
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import EmbeddedGuidance, Guidance, Unguided
from denoisert.runtime.sampling.guidance.embedded import with_scale
from denoisert.runtime.sampling.previews import with_previews
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.schedules import Before, Spacing
from denoisert.runtime.sampling.schedules.sized import spacing_of
from denoisert.runtime.sampling.schedules.spacing import pinned_steps
from denoisert.runtime.sampling.solvers import Inpainted, Solver
from denoisert.runtime.sampling.solvers.inpainted import KEPT, MASK, SOURCE, repaints
from denoisert.runtime.sampling.table import SamplerTable

CACHED_TABLES = 128
ROUNDING = 1e-9  # of times that a schedule computes from levels
_OWN_LEVEL = (
    "{} begins with a latent of its own noise level, and a start of strength {} was given. Pass "
    "Start(latent, 1.0) with that latent."
)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Everything that decides a table; equal samplers share one.

    Args:
        solver: how a step is taken.
        spacing: where the steps lie.
        steps: N.
        guidance: how the branches combine.
        strength: share of the steps that run from what is given, or None to start from noise.
        previews: the clean estimate of every k-th step is shown; 0 none.
        given: names of what the request gives, "source" for its latent.
        noised: whether the latent is clean or lies at the first point already.
    """

    solver: Solver
    spacing: Spacing
    steps: int
    guidance: Guidance
    strength: float | None = None
    previews: int = 0
    given: tuple[str, ...] = ()
    noised: Noised = Noised.HERE

    def __post_init__(self) -> None:
        if not isinstance(self.previews, int) or self.previews < 0:
            raise InvalidInput(
                f"previews {self.previews!r} must be a whole number: one every so many steps, or 0 "
                "for none."
            )

    @classmethod
    def of(cls, request: Request, card: Card, previews: int = 0) -> Sampler:
        """The request's sampler at its size, completed by what the card recommends."""
        advice = card.sampler
        shape = layout_of(card, request.size).parts[0].shape
        spacing = spacing_of(request.schedule or advice.spacing, shape)
        start, solver = request.start, request.solver or advice.solver
        is_shown = any(entry.source is Source.MASK for entry in card.conditions)
        if start is not None and start.mask is not None and not (is_shown or repaints(solver)):
            solver = Inpainted(solver)
        return cls(
            solver=solver,
            spacing=spacing,
            steps=int(request.steps or pinned_steps(spacing) or advice.steps),
            guidance=request.guidance or advice.guidance,
            strength=start.share if start else None,
            previews=previews,
            given=_given(start, solver) if start else (),
            noised=start.noised if start else Noised.HERE,
        )

    @property
    def is_cut(self) -> bool:
        """Whether the run stops at a noise level, so that its latent is no picture yet."""
        return isinstance(self.spacing, Before)

    def grid(self, card: Card) -> Grid:
        """The time grid on the card's schedule.

        Raises:
            InvalidInput: steps that the spacing has not, or a start that it does not begin with.
        """
        grid = self.spacing.grid(card.training.schedule, self.steps)
        if grid.source_gain and self.strength not in (None, 1.0):
            raise InvalidInput(_OWN_LEVEL.format(self.spacing, self.strength))
        if self.strength is not None and not grid.source_gain:
            grid = grid.tail(self.strength)
        if self.noised is Noised.ALREADY:
            return replace(grid, noise_gain=0.0, source_gain=1.0)
        return grid


def _given(start: Start, solver: Solver) -> tuple[str, ...]:
    """What of a start is for the solver: of a mask that the network is shown, nothing."""
    if start.mask is None or repaints(solver):
        return start.given
    hidden = (MASK, KEPT) if start.share is not None else (MASK, KEPT, SOURCE)
    return tuple(name for name in start.given if name not in hidden)


class TableCache:
    """Tables of the most recent samplers of one card; several threads may ask.

    Args:
        card: the network they run on.
    """

    def __init__(self, card: Card) -> None:
        self.card = card
        self._tables: OrderedDict[Sampler, SamplerTable] = OrderedDict()
        self._lock = threading.Lock()

    def table(self, sampler: Sampler) -> SamplerTable:
        """Compile a sampler, or take it from the cache.

        Args:
            sampler: what to compile.

        Returns:
            The table.

        Raises:
            InvalidInput: solver, schedule and card do not fit together.
        """
        with self._lock:
            found = self._tables.get(sampler)
        table = found or compile_table(sampler, self.card)
        with self._lock:
            self._tables[sampler] = table
            self._tables.move_to_end(sampler)
            if len(self._tables) > CACHED_TABLES:
                self._tables.popitem(last=False)
        return table


def compile_table(sampler: Sampler, card: Card) -> SamplerTable:
    """Grid, rows and fold of one sampler on one card.

    Args:
        sampler: what to compile.
        card: the network it runs on.

    Returns:
        The table.

    Raises:
        InvalidInput: solver, schedule and card do not fit together.
    """
    if sampler.strength == 0.0:
        return _start_alone(sampler, card)
    grid = sampler.grid(card)
    rows = sampler.solver.rows(grid)
    if grid.stop is not None:
        rows = rows.head(grid.stop)
    _check_externals(sampler, grid, rows.basis.externals)
    _check_times(card, [point.model_time for point in rows.points])
    rows = _told(rows, card, sampler.guidance)
    if sampler.previews:
        rows = with_previews(rows, sampler.previews)
    return fold(rows, card.training.parametrisation, sampler.guidance)


def _start_alone(sampler: Sampler, card: Card) -> SamplerTable:
    """A table of no stages, which ends with the latent that it starts from."""
    grid = sampler.spacing.grid(card.training.schedule, sampler.steps)
    if grid.source_gain:
        raise InvalidInput(_OWN_LEVEL.format(sampler.spacing, 0.0))
    rows = Program.from_source(grid, registers=1).rows()
    if sampler.previews:
        rows = with_previews(rows, sampler.previews)
    return fold(rows, card.training.parametrisation, Unguided())


def _told(rows: Rows, card: Card, guidance: Guidance) -> Rows:
    """The rows, with the scale for a network that wants to be told one."""
    name = card.network.guidance
    if isinstance(guidance, EmbeddedGuidance):
        if not name:
            raise InvalidInput(
                f"{guidance} tells the network a scale, and {card.name} has no input for one. Use "
                "CFG(scale) or Unguided()."
            )
        most = max((len(point.scalars) for point in rows.points), default=0)
        if most >= len(card.network.scalars):
            raise InvalidInput(
                f"the solver tells the network {most} number(s) more than the time; beside the "
                f"guidance scale {card.name} has inputs for {len(card.network.scalars) - 1}. Take "
                "a solver that tells no more, such as DPMpp2M() or FlowEuler()."
            )
        return with_scale(rows, guidance.scale, card.network.scalars.index(name))
    if name:
        raise InvalidInput(
            f"{card.name} has to be told a guidance scale, and {guidance} tells none. Use "
            f"EmbeddedGuidance(scale), or EmbeddedGuidance(scale, beside={guidance!r})."
        )
    return rows


def _check_externals(sampler: Sampler, grid: Grid, names: tuple[str, ...]) -> None:
    """Refuse a table that reads what the request has not given, and what nobody would read."""
    missing = [name for name in names if name not in sampler.given]
    if SOURCE in missing:
        raise InvalidInput(
            f"{sampler.solver} on {sampler.spacing} starts from a given latent and the request has "
            "none. Pass start=Start(latent, 1.0); for `denoisert generate` that is --init-image "
            "FILE --strength 1."
        )
    if MASK in missing:
        raise InvalidInput(
            f"{sampler.solver} repaints part of a picture and the request has no mask. Pass "
            "start=Start(picture, mask=mask), white where it paints."
        )
    if missing:
        raise InvalidInput(
            f"{sampler.solver} reads {_listed(missing)}, which the request does not give. Pass "
            f"start=Start(..., buffers={{{missing[0]!r}: array of (pages, elements)}}); the "
            "solver's docstring says what it holds."
        )
    # At alpha = 0 nothing of a clean latent is left, and that is what strength 1 asks for.
    is_faint = grid.source_gain == 0.0
    unread = [name for name in sampler.given if name not in names]
    if unread and not (is_faint and unread == [SOURCE]):
        buffers = [name for name in names if name != SOURCE]
        raise InvalidInput(
            f"the start gives {_listed(unread)}, which {sampler.solver} does not read; beside a "
            f"latent it reads {_listed(buffers) or 'no buffers'}. Leave out what it does not read."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _check_times(card: Card, times: list[float]) -> None:
    allowed = card.training.timesteps
    foreign = [time for time in times if allowed and not any(map(partial(_is_same, time), allowed))]
    if foreign:
        raise InvalidInput(
            f"the sampler asks the network at model time {foreign[0]:g}; it was trained at "
            f"{allowed} only. Use the card's recommended steps and schedule."
        )
    is_whole = card.network.time_dtype.startswith("int")
    broken = (time for time in times if is_whole and not _is_same(time, round(time)))
    fraction = next(broken, None)
    if fraction is not None:
        raise InvalidInput(
            f"the sampler asks the network at model time {fraction:g}, but it takes whole numbers "
            f"({card.network.time_dtype}). Use a schedule with whole train times such as "
            "Trailing(), or have them rounded, also between its points: Rounded(Trailing())."
        )


def _is_same(time: float, other: float) -> bool:
    """Whether two times differ by their rounding only; the float32 that is told is the same."""
    return math.isclose(time, other, rel_tol=ROUNDING, abs_tol=ROUNDING)

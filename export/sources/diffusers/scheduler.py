"""A scheduler configuration as what our tables mean: how the network was trained, and a sampler.

The training has to be exact. For the sampler, what diffusers would do otherwise is said in notes,
see `deviations`; what no table of ours reproduces is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from denoisert.export.sources.diffusers.deviations import deviations
from denoisert.export.sources.diffusers.families import DISTILLED, SINGLESTEP
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.settings import read_settings
from denoisert.export.sources.diffusers.solvers import read_solver
from denoisert.export.sources.diffusers.spacings import read_spacing
from denoisert.export.sources.diffusers.training import read_training
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import ExportError, InvalidInput, InvalidTable
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Guidance, Unguided

STEPS: Final = 25
BLOCK_STEPS: Final = 24
"""For solvers in blocks of 2 or 3 steps."""

FEW_STEPS: Final = 4
"""For networks that were distilled."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a scheduler configuration means.

    Args:
        training: for the card.
        recommended: for the card.
        notes: where diffusers would do something else, one sentence each.
    """

    training: Training
    recommended: Recommended
    notes: tuple[str, ...]


def read_scheduler(
    class_name: str,
    config: Mapping[str, Any],
    guidance: Guidance | None = None,
    pipeline: Pipeline | None = None,
) -> Sampling:
    """Training, recommended sampler and notes of a scheduler configuration.

    Args:
        class_name: the scheduler's class in diffusers.
        config: its configuration.
        guidance: recommended guidance; none by default.
        pipeline: how the scheduler is called; by default with a number of steps alone.

    Raises:
        ExportError: an unknown class, a wrong value, or a setting that the tables do not mean.
    """
    call = pipeline or Pipeline()
    try:
        settings = read_settings(class_name, config)
        training = read_training(class_name, settings)
        spacing = read_spacing(class_name, settings, call)
        solver = read_solver(class_name, settings, training, call)
        steps = _steps(class_name, training)
        rows = solver.rows(spacing.grid(training.schedule, steps))
        fold(rows, training.parametrisation, Unguided())
    except (InvalidInput, InvalidTable) as error:
        raise ExportError(f"{class_name}: {error} Correct scheduler_config.json.") from error
    recommended = Recommended(solver, spacing, steps, guidance or Unguided())
    notes = tuple(deviations(class_name, settings, call, spacing))
    return Sampling(training, recommended, notes)


def _steps(class_name: str, training: Training) -> int:
    """About 25; fewer where few times were trained."""
    if class_name in DISTILLED:
        return FEW_STEPS
    wanted = BLOCK_STEPS if class_name == SINGLESTEP else STEPS
    count = training.schedule.train_steps
    return wanted if count is None else min(wanted, max(2, count // 2))

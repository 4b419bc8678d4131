"""From a foreign sampler to a verified solver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from denoisert.export.probe.canonical import Spelling, Start, canonical, clean, merged
from denoisert.export.probe.check import active_scale, verify_registers, verify_rows
from denoisert.export.probe.convention import Convention, Scheduler
from denoisert.export.probe.function import FunctionSource
from denoisert.export.probe.meaning import OFF_PATH, fits, straying
from denoisert.export.probe.probed import Probed
from denoisert.export.probe.realisation import Realisation, realise
from denoisert.export.probe.scheduler import Levels, SchedulerSource
from denoisert.export.probe.source import Source
from denoisert.export.probe.trace import Trace, trace
from denoisert.runtime.errors import ExportError, InvalidTable, ParityError, UnsupportedOperator
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold, EstimateOperation
from denoisert.runtime.sampling.schedules import NoiseSchedule

SEED = 20260727
Choice = tuple[Spelling, EstimateOperation]


def probe_scheduler(
    build: Callable[[], Scheduler],
    *,
    options: Mapping[str, Any] | None = None,
    start: Start = Start.NOISE,
    levels: Levels | None = None,
    convention: Convention | None = None,
) -> Probed:
    """Import a scheduler written for diffusers.

    Clipping and dynamic thresholding of the clean estimate, where its configuration asks for them,
    become an operation of the table.

    Args:
        build: makes the scheduler with its timesteps set; called once per run.
        options: further arguments of its `step`.
        start: noise, or a source latent for an inversion.
        levels: (scheduler, time) -> (alpha, sigma) of its latent, where it does not say so itself.
        convention: what it takes the network's output for, by default as its configuration says.

    Returns:
        The solver, verified against the scheduler on random networks.

    Raises:
        UnsupportedOperator: a torch function that is not linear was applied to a latent.
        ParityError: the scheduler does not do on random networks what it did when probed.
        ExportError: it leaves open where its stages lie.
        InvalidTable: its rows do not fit into a table.
    """
    source = SchedulerSource(build, dict(options or {}), levels, convention)
    return probe_source(source, start=start)


def probe_function(
    sample: Callable[..., torch.Tensor],
    sigmas: Sequence[float],
    *,
    options: Mapping[str, Any] | None = None,
    schedule: NoiseSchedule | None = None,
) -> Probed:
    """Import a sampling function in k-diffusion's calling convention.

    Args:
        sample: sample(model, x, sigmas, **options).
        sigmas: noise levels sigma / alpha, falling.
        options: further keyword arguments.
        schedule: of the network that will be asked; None: x = x0 + sigma eps, told sigma.

    Returns, raises:
        As `probe_scheduler`; InvalidInput for sigmas that do not fall.
    """
    return probe_source(FunctionSource(sample, sigmas, dict(options or {}), schedule))


def probe_source(source: Source, *, start: Start = Start.NOISE) -> Probed:
    """Import any source; see `probe_scheduler`."""
    if isinstance(source, FunctionSource) and start is Start.NOISE:
        source.check_falling()
    if not isinstance(source, SchedulerSource):
        return _plain(source, start)
    choices = [] if _is_linear(source) else _operations(source.made())
    bare = replace(source, prepare=_bare) if choices else source
    if source.convention is None:
        found = _understood(bare, start)
        source, bare = replace(source, convention=found), replace(bare, convention=found)
    return _with_operation(source, bare, start, choices) if choices else _plain(source, start)


def _plain(source: Source, start: Start) -> Probed:
    """A source that does nothing to its clean estimate."""
    forms, realisation = registers(source)
    marks, meaning = source.marks(), source.meaning
    error = verify_registers(source, realisation, forms.times, SEED)
    rows = canonical(realisation, marks, meaning, start)
    is_merged = merged(realisation, start)
    if not is_merged:
        error = max(error, verify_rows(source, rows, start, SEED + 1))
    return Probed(
        source.name,
        rows,
        meaning,
        start,
        realisation.minimal,
        realisation.residual,
        error,
        straying(realisation, marks, meaning, start),
        is_merged,
    )


def _understood(source: SchedulerSource, start: Start) -> Convention:
    """What the scheduler takes the network's output for: as configured, or its negative.

    Raises:
        ExportError: neither keeps the exact network of one picture on the path.
    """
    _, realisation = registers(source)
    marks, configured = source.marks(), source.meaning
    for found in (configured, replace(configured, gain=-configured.gain)):
        off = straying(realisation, marks, found, start)
        if fits(found, marks) and not off > OFF_PATH:
            return found
    raise ExportError(
        f"{source.name}: its configuration says, or leaves to be guessed, that its network's "
        f"output is {configured.parametrisation.value}, but the exact network of one picture would "
        "not sample that picture. Give its `convention`, and `levels` if its times are unusual."
    )


def registers(source: Source) -> tuple[Trace, Realisation]:
    """The linear forms of a source and the fewest registers that carry them, not yet verified."""
    forms = trace(source)
    pairs = [clean(source.meaning, mark.point) for mark in source.marks()]
    return forms, realise(forms, pairs)


def _with_operation(
    source: SchedulerSource, bare: SchedulerSource, start: Start, choices: Sequence[Choice]
) -> Probed:
    """The scheduler without its operation, and the first choice that gives it back."""
    plain = _plain(bare, start)
    _, realisation = registers(bare)
    scale = active_scale(source, plain.pinned, start, SEED + 2)
    failures: list[str] = []
    for spelling, operation in choices:
        rows = canonical(
            realisation, bare.marks(), bare.meaning, start, bound=operation, spelling=spelling
        )
        try:
            error = verify_rows(source, rows, start, SEED + 2, scale)
        except (ParityError, InvalidTable) as failure:
            failures.append(str(failure))
            continue
        return replace(plain, pinned=rows, error=max(error, plain.error))
    raise ParityError(
        f"{plain.name} changes its clean estimate in a way that no operation of a table gives: "
        f"{failures[-1]} Switch its clipping off."
    )


def _is_linear(source: SchedulerSource) -> bool:
    """Whether the scheduler leaves its clean estimate alone, whatever its configuration says."""
    if not _operations(source.made()):
        return True
    try:
        trace(source)
    except UnsupportedOperator:
        return False
    return True


def _bare(scheduler: Scheduler) -> None:
    """Switch off what acts on the clean estimate."""
    known = {"clip_sample", "thresholding"} & set(scheduler.config)
    scheduler.register_to_config(**dict.fromkeys(known, False))


def _operations(scheduler: Scheduler) -> list[Choice]:
    """What the configuration says about the clean estimate, as the operations it may mean."""
    config = getattr(scheduler, "config", {})
    kinds: list[Callable[[bool], EstimateOperation]] = []
    if config.get("thresholding"):
        ratio = float(config.get("dynamic_thresholding_ratio", 0.995))
        maximum = float(config.get("sample_max_value", 1.0))
        kinds = [lambda rederive: DynamicThreshold(ratio, maximum, rederive)]
    elif config.get("clip_sample"):
        bound = float(config.get("clip_sample_range", 1.0))
        kinds = [lambda rederive: Clip(-bound, bound, rederive)]
    spellings = ((Spelling.LATENT, True), (Spelling.ESTIMATES, False))
    return [(spelling, kind(flag)) for kind in kinds for spelling, flag in spellings]

"""Which points a scheduler of diffusers visits.

The same name means other times in other classes. Sigma schedulers do not round linspace; DPM
solvers divide linspace and leading into N + 1 parts; flows shift their least time twice. Levels by
a formula (Karras and others) run between the ends of the schedule, or of the visited times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from denoisert.export.sources.diffusers.defaults import Settings
from denoisert.export.sources.diffusers.families import (
    DISTILLED,
    FLOW,
    FLOWS,
    KDPM2,
    LMS,
    MULTISTEP,
    MULTISTEPS,
    REPEATING,
    SIGMA_STATES,
    SINGLESTEP,
)
from denoisert.export.sources.diffusers.pipeline import Pipeline, Times
from denoisert.export.sources.diffusers.settings import LEVELS, pick
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import (
    BetaQuantile,
    BetweenEnds,
    Distilled,
    DropLast,
    Even,
    Exponential,
    Flow,
    Growth,
    Karras,
    Leading,
    Linspace,
    Measure,
    Reach,
    ResolutionShifted,
    Rounded,
    Rounding,
    Spacing,
    Stretched,
    Trailing,
)
from denoisert.runtime.sampling.schedules import Final as End

KARRAS, EXPONENTIAL, BETA = LEVELS
LU: Final = "use_lu_lambdas"
FORMULAS: Final[Mapping[str, Callable[..., Spacing]]] = {
    KARRAS: Karras,
    LU: Exponential,
    EXPONENTIAL: Exponential,
    BETA: BetaQuantile,
}
"""Setting -> levels, in the order in which diffusers asks."""

FINALS: Final = {"zero": End.ZERO, "sigma_min": End.LAST}
GROWTHS: Final = {"exponential": Growth.EXPONENTIAL, "linear": Growth.LINEAR}
COSINE: Final = "squaredcos_cap_v2"


def read_spacing(class_name: str, settings: Settings, pipeline: Pipeline) -> Spacing:
    """The spacing of a typed scheduler configuration.

    Args:
        class_name: of the scheduler.
        settings: what `read_settings` returned.
        pipeline: what divides a flow's times.

    Raises:
        InvalidInput: a name that no spacing has, or an end that no flow has.
    """
    if class_name in FLOWS:
        return _flow(class_name, settings, pipeline)
    if class_name in DISTILLED:
        return Distilled(settings["original_inference_steps"])
    if settings.get("use_flow_sigmas"):
        return _flow_sigmas(class_name, settings)
    formula = formula_of(settings)
    if formula is None:
        return _times(class_name, settings)
    if class_name in SIGMA_STATES:
        return _sigma_levels(class_name, settings, formula)
    return _rounded(class_name, settings, formula, _levels(class_name, settings, formula))


def formula_of(settings: Settings) -> str | None:
    """The setting that asks for levels by a formula."""
    return next((name for name in FORMULAS if settings.get(name)), None)


def end_of(class_name: str, settings: Settings) -> End:
    """Where the run ends: without noise, or at the least trained level if no step starts there."""
    is_last = keeps_noise(class_name, settings) and not _visits_last(class_name, settings)
    return End.LAST if is_last else End.ZERO


def keeps_noise(class_name: str, settings: Settings) -> bool:
    """Whether a run is to end with noise."""
    if class_name in DISTILLED:
        return False
    if "final_sigmas_type" in settings:
        return pick(settings, "final_sigmas_type", FINALS) is End.LAST
    return class_name in REPEATING or not settings.get("set_alpha_to_one", True)


def _visits_last(class_name: str, settings: Settings) -> bool:
    """Whether the last visited point is already the final one."""
    is_formula = formula_of(settings) is not None
    if class_name in REPEATING and (is_formula or settings["use_flow_sigmas"]):
        return True
    if class_name in (*MULTISTEPS, SINGLESTEP):
        return is_formula and _given(class_name, settings)["sigma_min"] is None
    if is_formula and _given(class_name, settings)["sigma_min"] is not None:
        return False
    name = settings["timestep_spacing"]
    return bool(name == "linspace" or (name == "leading" and settings["steps_offset"] == 0))


def _times(class_name: str, settings: Settings) -> Spacing:
    """Even in time."""
    end = end_of(class_name, settings)
    if class_name == SINGLESTEP:
        return DropLast(Linspace(), end)
    leading: Spacing = Leading(settings["steps_offset"], end)
    linspace: Spacing = Linspace(end)
    if class_name in MULTISTEPS:
        leading = DropLast(Leading(settings["steps_offset"]), end)
        linspace = DropLast(Linspace(), end)
    if class_name in SIGMA_STATES:
        linspace = Even(final=end)
    known = {"leading": leading, "linspace": linspace, "trailing": Trailing(end)}
    return pick(settings, "timestep_spacing", known)


def _given(class_name: str, settings: Settings) -> dict[str, float | None]:
    """Ends of levels that the configuration has and the class reads."""
    is_ignored = settings.get(LU) or (class_name == LMS and settings[KARRAS])
    names = ("sigma_min", "sigma_max")
    return {name: None if is_ignored else settings[name] for name in names}


def _levels(class_name: str, settings: Settings, formula: str) -> Spacing:
    end = end_of(class_name, settings)
    return FORMULAS[formula](**_given(class_name, settings), final=end)


def _sigma_levels(class_name: str, settings: Settings, formula: str) -> Spacing:
    """Levels between the ends of the visited times, which under linspace are the schedule's."""
    spacing = _levels(class_name, settings, formula)
    ends = _times(class_name, {**settings, "final_sigmas_type": "zero"})
    are_given = None not in _given(class_name, settings).values()
    if not isinstance(ends, Even) and not are_given:
        spacing = BetweenEnds(spacing, ends)
    is_told_whole = class_name in KDPM2 and formula == KARRAS
    return Rounded(spacing, Rounding.POINTS) if is_told_whole else spacing


def _rounded(class_name: str, settings: Settings, formula: str, spacing: Spacing) -> Spacing:
    """Levels as DPM solvers tell them: the nearest whole time, or what an integer keeps of it."""
    is_exact = class_name == MULTISTEP and settings["beta_schedule"] == COSINE
    is_nearest = formula in (KARRAS, LU) and not is_exact
    return Rounded(spacing, Rounding.NEAREST if is_nearest else Rounding.DOWN)


def _flow_sigmas(class_name: str, settings: Settings) -> Spacing:
    """Flow times of DPM solvers, cast to integers where the network is told."""
    found = formula_of(settings)
    if found is not None:
        raise InvalidInput(f"{found} and use_flow_sigmas exclude each other here; set one of them.")
    if class_name not in REPEATING and keeps_noise(class_name, settings):
        raise InvalidInput(
            "final_sigmas_type 'sigma_min' is a level of the betas, which a flow does not have. "
            "Use 'zero'."
        )
    least = 1.0 / settings["num_train_timesteps"]
    is_unipc = "predict_x0" in settings
    even = Even(1.0, least, Reach.LEFT_OUT) if is_unipc else Even(1.0 - least, 0.0, Reach.LEFT_OUT)
    return Rounded(even, Rounding.DOWN)


def _flow(class_name: str, settings: Settings, pipeline: Pipeline) -> Spacing:
    """Shifted times, stretched, then levels by a formula between what comes out."""
    least = 1.0 / settings["num_train_timesteps"]
    is_dynamic = settings.get("use_dynamic_shifting", False)
    if not is_dynamic:
        least = float(Flow(settings["shift"]).spaced(least))
    spacing: Spacing = Trailing() if pipeline.times is Times.PIPELINE else Even(last=least)
    if class_name != FLOW:
        return spacing
    if is_dynamic:
        spacing = _by_resolution(settings, pipeline, spacing)
    if settings["shift_terminal"]:
        spacing = Stretched(spacing, settings["shift_terminal"])
    formula = formula_of(settings)
    if formula is None:
        return spacing
    scale = settings["num_train_timesteps"]
    ends = _given(class_name, settings).items()
    times = {name: None if level is None else scale * level for name, level in ends}
    return BetweenEnds(FORMULAS[formula](**times, measure=Measure.TIME), spacing)


def _by_resolution(settings: Settings, pipeline: Pipeline, spacing: Spacing) -> Spacing:
    return ResolutionShifted(
        spacing,
        pipeline.tokens,
        settings["base_shift"],
        settings["max_shift"],
        settings["base_image_seq_len"],
        settings["max_image_seq_len"],
        pick(settings, "time_shift_type", GROWTHS),
        pipeline.edge,
    )

"""Which solver a scheduler of diffusers is, one entry per class, and the bound on its estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from denoisert.export.sources.diffusers import families
from denoisert.export.sources.diffusers.defaults import Settings
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.settings import pick
from denoisert.export.sources.diffusers.spacings import formula_of
from denoisert.runtime.bundle.card import Training
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DDPM,
    DEIS,
    DPM2,
    LCM,
    LMS,
    PLMS,
    PNDM,
    TCD,
    Bounded,
    ConsistencyMultistep,
    DPM2Ancestral,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    DPMpp3MSDE,
    DPMppBlocks,
    DPMppBlocksSDE,
    DPMSolver2M,
    DPMSolver3M,
    DPMSolverBlocks,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    Heun,
    SASolver,
    SDEDPMSolver1,
    SDEDPMSolver2M,
    Solver,
    UniPC,
    Variance,
)
from denoisert.runtime.sampling.solvers.dpm import Ending, Estimate, Form
from denoisert.runtime.sampling.solvers.exponential import Slope

Orders = Mapping[int, Callable[..., Solver]]

FEW: Final = 15
"""Runs of fewer steps than this end in lower order, unless told otherwise."""

TAU_TIMES: Final = (200.0, 800.0)
"""Model times between which SA-Solver draws noise."""

FORMS: Final = {
    "midpoint": Form.MIDPOINT,
    "heun": Form.HEUN,
    **dict.fromkeys(("logrho", "bh1", "bh2"), Form.MIDPOINT),
}
"""Names of other solvers' types stand for the default, here and below, as in diffusers."""

ALGORITHMS: Final = ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis")
CLEAN, NOISE, NOISY_CLEAN, NOISY_NOISE, OTHER = ALGORITHMS
SLOPES: Final = {
    "bh1": Slope.BH1,
    "bh2": Slope.BH2,
    **dict.fromkeys(("midpoint", "heun", "logrho"), Slope.BH2),
}
_PLAIN: Final[Orders] = {1: lambda **_: DDIM(), 2: DPMpp2M, 3: DPMpp3M}
MULTISTEP_SOLVERS: Final[Mapping[str, Orders]] = {
    CLEAN: _PLAIN,
    NOISE: {1: lambda **_: DDIM(), 2: DPMSolver2M, 3: DPMSolver3M},
    NOISY_CLEAN: {
        1: lambda **_: DDIM(1.0),
        2: DPMpp2MSDE,
        3: lambda **ended: DPMpp3MSDE(**ended, compat=Compat.DIFFUSERS),
    },
    NOISY_NOISE: {1: lambda **_: SDEDPMSolver1(), 2: SDEDPMSolver2M},
    OTHER: _PLAIN,
}
"""algorithm_type -> solver_order -> solver; order 1 is DDIM, with noise where there is noise."""

ESTIMATES: Final = {"data_prediction": Estimate.CLEAN, "noise_prediction": Estimate.NOISE}
GAMMAS: Final = {"fixed_small": 0.0, "fixed_small_log": 0.0, "fixed_large": 1.0}
LEARNED_RANGE: Final = "learned_range"

REDERIVED: Final = (
    families.DEIS,
    families.MULTISTEP,
    families.SA,
    families.SINGLESTEP,
    families.UNIPC,
    "HeunDiscreteScheduler",
)
"""Classes whose noise estimate follows the bounded clean one."""


def read_solver(
    class_name: str, settings: Settings, training: Training, pipeline: Pipeline
) -> Solver:
    """The solver of a typed scheduler configuration.

    Args:
        class_name: of the scheduler.
        settings: what `read_settings` returned.
        training: gives the levels of times.
        pipeline: says whether the network has a second output.

    Raises:
        InvalidInput: a setting that the solver does not have.
    """
    name = families.canonical(class_name)
    if name == families.DDPM:
        solver = _ddpm(settings, pipeline)
    elif name == families.SA:
        solver = _sa(settings, training)
    else:
        solver = SOLVERS[name](settings)
    return _bounded(name, settings, solver)


def _bounded(class_name: str, settings: Settings, solver: Solver) -> Solver:
    """TCD knows the settings of a bound and does not look at them; nor does UniPC of the noise."""
    rederive = class_name in REDERIVED
    if class_name == families.TCD or not settings.get("predict_x0", True):
        return solver
    if settings.get("thresholding"):
        ratio, most = settings["dynamic_thresholding_ratio"], settings["sample_max_value"]
        return Bounded(solver, DynamicThreshold(ratio, most, rederive))
    if settings.get("clip_sample"):
        bound = settings["clip_sample_range"]
        return Bounded(solver, Clip(-bound, bound, rederive))
    return solver


def _ddpm(settings: Settings, pipeline: Pipeline) -> Solver:
    kind = settings["variance_type"]
    if kind == LEARNED_RANGE and pipeline.ports > 1:
        return DDPM(Variance.LEARNED_RANGE)
    if kind == LEARNED_RANGE:
        raise InvalidInput(
            "variance_type 'learned_range' needs a network whose card lists a second output. "
            "Use 'fixed_small' or 'fixed_large'."
        )
    return DDPM(gamma=pick(settings, "variance_type", GAMMAS))


def _sa(settings: Settings, training: Training) -> Solver:
    estimate = pick(settings, "algorithm_type", ESTIMATES)
    if settings["thresholding"] and estimate is Estimate.NOISE:
        raise InvalidInput(
            "thresholding with 'noise_prediction' reads levels of another step. Use "
            "'data_prediction'."
        )
    repeated = formula_of(settings) or (settings["use_flow_sigmas"] and "use_flow_sigmas")
    if repeated:
        raise InvalidInput(
            f"{repeated} makes diffusers' SA-Solver divide by the length of a last step that has "
            "none. Unset it, or use 'UniPCMultistepScheduler'."
        )
    alpha, sigma = training.schedule.at(np.array(TAU_TIMES))
    low, high = (float(level) for level in sigma / alpha)
    return SASolver(
        settings["predictor_order"],
        settings["corrector_order"],
        interval=(low, high),
        estimate=estimate,
        slope=Slope.BH1 if estimate is Estimate.CLEAN else Slope.EXACT,
        ending=_ending(settings),
    )


def _ending(settings: Settings) -> Ending:
    return Ending.LOWERED if settings["lower_order_final"] else Ending.FULL


def _refuse_zero(settings: Settings, name: str) -> None:
    """Where diffusers divides by zero, or refuses itself, at an end without noise."""
    if settings["final_sigmas_type"] == "zero":
        raise InvalidInput(
            f"{name} = {settings[name]!r} does not work in diffusers under final_sigmas_type "
            "'zero'. Use 'sigma_min'."
        )


def _unipc(settings: Settings) -> Solver:
    is_clean = settings["predict_x0"]
    if not is_clean:
        _refuse_zero(settings, "predict_x0")
    if settings["solver_order"] > 1 and not settings["lower_order_final"]:
        _refuse_zero(settings, "lower_order_final")
    return UniPC(
        settings["solver_order"],
        pick(settings, "solver_type", SLOPES),
        Estimate.CLEAN if is_clean else Estimate.NOISE,
        uncorrected=settings["disable_corrector"],
        ending=_ending(settings),
    )


def _deis(settings: Settings) -> Solver:
    known = (1, 2, 3)
    order = pick(settings, "solver_order", dict(zip(known, known, strict=True)))
    pick(settings, "algorithm_type", dict.fromkeys(("deis", NOISE, CLEAN)))
    pick(settings, "solver_type", dict.fromkeys(("logrho", "midpoint", "heun", "bh1", "bh2")))
    return DEIS(order, FEW if settings["lower_order_final"] else 0)


def _multistep(settings: Settings) -> Solver:
    orders = pick(settings, "algorithm_type", MULTISTEP_SOLVERS)
    if settings["algorithm_type"] not in (CLEAN, NOISY_CLEAN):
        _refuse_zero(settings, "algorithm_type")
    return pick(settings, "solver_order", orders)(
        lower_order_below=FEW if settings["lower_order_final"] else 0,
        form=pick(settings, "solver_type", FORMS),
        ending=Ending.LOWERED if settings["euler_at_final"] else Ending.FULL,
    )


def _singlestep(settings: Settings) -> Solver:
    """A run into no noise ends in lower order whatever it is told."""
    form = pick(settings, "solver_type", FORMS)
    is_zero = settings["final_sigmas_type"] == "zero"
    ending = Ending.LOWERED if is_zero else _ending(settings)
    size = settings["solver_order"]
    known: dict[str, Callable[[], Solver]] = {
        CLEAN: lambda: DPMppBlocks(size, form, ending),
        NOISE: lambda: DPMSolverBlocks(size, form, ending),
        NOISY_CLEAN: lambda: DPMppBlocksSDE(size, form, ending, compat=Compat.DIFFUSERS),
        OTHER: lambda: DPMppBlocks(size, form, ending),
    }
    solver = pick(settings, "algorithm_type", known)()
    if settings["algorithm_type"] not in (CLEAN, NOISY_CLEAN):
        _refuse_zero(settings, "algorithm_type")
    return solver


SOLVERS: Final[Mapping[str, Callable[[Settings], Solver]]] = {
    families.DDIM: lambda settings: DDIM(),
    families.DEIS: _deis,
    families.FLOW: lambda settings: (
        ConsistencyMultistep() if settings["stochastic_sampling"] else FlowEuler()
    ),
    families.FLOW_HEUN: lambda settings: FlowHeun(),
    families.LCM: lambda settings: LCM(settings["timestep_scaling"]),
    families.LMS: lambda settings: LMS(),
    families.MULTISTEP: _multistep,
    families.PNDM: lambda settings: PLMS() if settings["skip_prk_steps"] else PNDM(),
    families.SINGLESTEP: _singlestep,
    families.TCD: lambda settings: TCD(),
    families.UNIPC: _unipc,
    "EulerAncestralDiscreteScheduler": lambda settings: EulerAncestral(),
    "EulerDiscreteScheduler": lambda settings: Euler(),
    "HeunDiscreteScheduler": lambda settings: Heun(),
    "KDPM2AncestralDiscreteScheduler": lambda settings: DPM2Ancestral(),
    "KDPM2DiscreteScheduler": lambda settings: DPM2(),
}
"""Class -> solver; DDPM and SA-Solver need to know more than their settings."""

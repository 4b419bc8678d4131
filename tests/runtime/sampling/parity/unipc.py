"""UniPC beside diffusers: orders, both B(h), both estimates, correctors, flow and Karras points."""

import numpy as np

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.schedules import Cosine, Final, Linear, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import Bounded
from denoisert.runtime.sampling.solvers.dpm import Ending, Estimate
from denoisert.runtime.sampling.solvers.exponential import Slope
from denoisert.runtime.sampling.solvers.unipc import Corrector, UniPC
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, FLOW, SCHEDULES, X0, V, upstream

NAME = "unipc_multistep"
CLEAN, NOISE = Estimate
LAST = {"timestep_spacing": "trailing", "final_sigmas_type": "sigma_min"}
ZERO = {"timestep_spacing": "trailing"}


def grid_of(scheduler, is_flow):
    """Upstream's own points, for the spacings that it has under its own names."""
    sigmas, times = scheduler.sigmas.numpy(), scheduler.timesteps.numpy().astype(float)
    alpha = 1.0 - sigmas if is_flow else 1.0 / np.sqrt(sigmas**2 + 1.0)
    return Grid(alpha, sigmas if is_flow else sigmas * alpha, np.append(times, np.nan), 1.0)


def on_their_points(solver, steps, parametrisation, **config) -> Case:
    """A case on the scheduler's own grid; its flow starts at sigma = 1 - 1e-6."""
    is_flow = config.get("use_flow_sigmas", False)
    grid = grid_of(upstream(NAME, steps, **config), is_flow)
    return diffusers(solver, NAME, grid, parametrisation, solver_order=solver.order, **config)


def case(solver, grid, parametrisation, schedule, ending=LAST, **config) -> Case:
    told = {
        "solver_order": solver.order,
        "solver_type": solver.slope.value,
        "predict_x0": solver.estimate is CLEAN,
    }
    return diffusers(
        solver, NAME, grid, parametrisation, **told, **SCHEDULES[schedule], **ending, **config
    )


def trailing(schedule, steps, final=Final.LAST):
    return Trailing(final).grid(schedule, steps)


def thresholded(order) -> Case:
    """Upstream thresholds its clean estimate, and x stays as it is."""
    return diffusers(
        Bounded(UniPC(order), DynamicThreshold(0.9, 1.5)),
        NAME,
        trailing(Linear(), 10),
        V,
        solver_order=order,
        thresholding=True,
        dynamic_thresholding_ratio=0.9,
        sample_max_value=1.5,
        **SCHEDULES[Linear()],
        **LAST,
    )


UNCORRECTED = {"disable_corrector": list(range(12))}
CASES = [
    *(thresholded(order) for order in (2, 3)),
    *(
        case(UniPC(order, slope, estimate), trailing(Linear(), 12), parametrisation, Linear())
        for order, parametrisation in ((1, EPS), (2, V), (3, X0))
        for slope in (Slope.BH1, Slope.BH2)
        for estimate in (CLEAN, NOISE)
    ),
    *(
        case(UniPC(order), trailing(schedule, steps, Final.ZERO), V, schedule, ZERO)
        for order, schedule, steps in (
            (1, Linear(), 8),
            (2, ScaledLinear(), 10),
            (3, Cosine(), 10),
            (3, ScaledLinear(), 20),
            (3, Linear(), 1),
            (3, Linear(), 2),
            (3, Linear(), 3),
        )
    ),
    *(
        case(
            UniPC(order, corrector=Corrector.OFF),
            trailing(Linear(), 12),
            EPS,
            Linear(),
            **UNCORRECTED,
        )
        for order in (1, 2, 3)
    ),
    case(
        UniPC(3, uncorrected=(0, 1, 4)),
        trailing(ScaledLinear(), 9),
        V,
        ScaledLinear(),
        disable_corrector=[0, 1, 4],
    ),
    case(
        UniPC(3, ending=Ending.FULL),
        trailing(ScaledLinear(), 9),
        V,
        ScaledLinear(),
        lower_order_final=False,
    ),
    *(
        on_their_points(
            UniPC(order),
            12,
            FLOW,
            use_flow_sigmas=True,
            flow_shift=3.0,
            timestep_spacing="trailing",
        )
        for order in (2, 3)
    ),
    *(
        on_their_points(UniPC(order), 11, EPS, use_karras_sigmas=True, **SCHEDULES[Linear()])
        for order in (2, 3)
    ),
]

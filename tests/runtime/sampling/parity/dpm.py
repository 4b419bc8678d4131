"""DPM solvers beside diffusers: multistep and single-step, with noise, on flows, on EDM's path.

Grids are made from the scheduler's own sigmas, because the single-step scheduler knows one spacing
only and Karras, Lu and flow sigmas are its own; two cases take our spacing instead.
"""

import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType

import numpy as np
import torch

from denoisert.runtime.sampling.compat import Compat
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Final, Linear, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    Bounded,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    DPMpp3MSDE,
    DPMppBlocks,
    DPMppBlocksSDE,
    DPMSolver2M,
    DPMSolver3M,
    DPMSolverBlocks,
    SDEDPMSolver1,
    SDEDPMSolver2M,
)
from denoisert.runtime.sampling.solvers.dpm import Ending, Form
from tests.oracles import float64
from tests.oracles.case import Case, diffusers
from tests.oracles.pair import EPS, FLOW, SCHEDULES, UPSTREAM_NAME, X0, V, theirs, upstream

EDM = Parametrisation.EDM
MULTI, SINGLE = "dpmsolver_multistep", "dpmsolver_singlestep"
HEUN, DIFFUSERS = Form.HEUN, Compat.DIFFUSERS
LOW = {"final_sigmas_type": "sigma_min"}
FLOWING = {"use_flow_sigmas": True, "flow_shift": 3.0}
DRAWN = {"step": lambda draws: {"generator": float64.Noises(draws)}}


@contextmanager
def advised():
    """Upstream advises against "dpmsolver", which is what we compare with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def grid_of(scheduler, data=1.0):
    """A grid at the scheduler's own points, in network coordinates; data is EDM's sigma_data."""
    level = scheduler.sigmas.numpy().astype(np.float64)
    times = np.append(scheduler.timesteps.numpy().astype(np.float64), np.nan)
    if scheduler.config.get("use_flow_sigmas"):
        return Grid(1.0 - level, level, times, 1.0)
    alpha = 1.0 / np.hypot(level, data)
    return Grid(alpha, level * alpha, times, 1.0)


def case(solver, name, steps, parametrisation=EPS, *, is_drawn=False, **config):
    """A case at upstream's own points."""
    told = {"prediction_type": UPSTREAM_NAME[parametrisation], **config}
    with advised():
        grid = grid_of(upstream(name, steps, **told))
        step = DRAWN if is_drawn else {}
        made = diffusers(solver, name, grid, parametrisation, **step, **config)

    def reference(network, draws):
        with advised():
            return made.reference(network, draws)

    return replace(made, reference=reference)


@contextmanager
def brownian_library():
    """The Cosine scheduler imports torchsde for its noise, which we give it ourselves."""
    absent = {"torchsde", f"{float64.PACKAGE}.scheduling_dpmsolver_sde"} - set(sys.modules)
    sys.modules.setdefault("torchsde", ModuleType("torchsde"))
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def preconditioned(solver, name, steps, parametrisation, *, is_drawn=False, **config):
    """A case whose states are x_ve and whose network takes c_in x_ve."""

    def made():
        with brownian_library():
            return upstream(name, steps, **config)

    data = made().config.sigma_data
    grid = grid_of(made(), data)

    def reference(network, draws):
        scheduler, step = made(), {}
        if name.startswith("cosine"):
            left = float64.Noises(draws[1:])
            shape = torch.Size((1, 2, 3, 3))
            scheduler.noise_sampler = lambda *_: left.next(shape)
        elif is_drawn:
            step = {"generator": float64.Noises(draws[1:])}
        return theirs(scheduler, network, draws, grid, **step)

    settings = ", ".join(f"{key}={value}" for key, value in config.items())
    source = f"diffusers {type(made()).__name__}"
    return Case(solver, grid, parametrisation, source, reference, settings)


def multi(algorithm, order, **config):
    return {"algorithm_type": algorithm, "solver_order": order, **config}


def single(algorithm, order, **config):
    return multi(algorithm, order, **{"lower_order_final": True, **config})


MULTISTEP = [
    case(DDIM(), MULTI, 12, **multi("dpmsolver", 1), **LOW),
    case(DPMSolver2M(), MULTI, 12, V, **multi("dpmsolver", 2), **LOW),
    case(DPMSolver2M(form=HEUN), MULTI, 16, **multi("dpmsolver", 2, solver_type="heun"), **LOW),
    case(DPMSolver3M(), MULTI, 12, **multi("dpmsolver", 3), **LOW, **SCHEDULES[Linear()]),
    case(DPMSolver3M(form=HEUN), MULTI, 16, X0, **multi("dpmsolver", 3, solver_type="heun"), **LOW),
    case(DDIM(), MULTI, 12, V, **multi("dpmsolver++", 1)),
    case(DPMpp2M(), MULTI, 12, **multi("dpmsolver++", 2), use_lu_lambdas=True),
    case(
        DPMpp2M(form=HEUN),
        MULTI,
        16,
        V,
        **multi("dpmsolver++", 2, solver_type="heun", use_karras_sigmas=True),
    ),
    case(
        DPMpp2M(ending=Ending.LOWERED),
        MULTI,
        16,
        X0,
        **multi("dpmsolver++", 2, euler_at_final=True),
        **LOW,
    ),
    case(DPMpp3M(), MULTI, 12, **multi("dpmsolver++", 3, use_exponential_sigmas=True)),
    case(DPMpp3M(), MULTI, 2, V, **multi("dpmsolver++", 3), **LOW),
    case(
        DPMpp3M(form=HEUN, lower_order_below=0),
        MULTI,
        10,
        **multi("dpmsolver++", 3, solver_type="heun", lower_order_final=False),
        **LOW,
        **SCHEDULES[Linear()],
    ),
    case(
        DPMpp3M(ending=Ending.LOWERED),
        MULTI,
        16,
        V,
        **multi("dpmsolver++", 3, euler_at_final=True),
        **LOW,
    ),
    case(DDIM(), MULTI, 12, FLOW, **multi("dpmsolver++", 1), **FLOWING),
    case(DPMpp2M(), MULTI, 12, FLOW, **multi("dpmsolver++", 2), **FLOWING),
    case(DPMpp3M(), MULTI, 12, FLOW, **multi("dpmsolver++", 3), **FLOWING),
    diffusers(
        Bounded(DPMpp2M(), DynamicThreshold(0.9, 3.0)),
        MULTI,
        Trailing(Final.LAST).grid(ScaledLinear(), 16),
        X0,
        **multi("dpmsolver++", 2, thresholding=True, timestep_spacing="trailing"),
        dynamic_thresholding_ratio=0.9,
        sample_max_value=3.0,
        **LOW,
        **SCHEDULES[ScaledLinear()],
    ),
]
NOISY = [
    case(SDEDPMSolver1(), MULTI, 12, V, is_drawn=True, **multi("sde-dpmsolver", 1), **LOW),
    case(
        SDEDPMSolver2M(lower_order_below=15),
        MULTI,
        12,
        is_drawn=True,
        **multi("sde-dpmsolver", 2),
        **LOW,
    ),
    case(
        SDEDPMSolver2M(form=HEUN),
        MULTI,
        16,
        X0,
        is_drawn=True,
        **multi("sde-dpmsolver", 2, solver_type="heun"),
        **LOW,
    ),
    case(DDIM(1.0), MULTI, 12, is_drawn=True, **multi("sde-dpmsolver++", 1)),
    case(
        DPMpp2MSDE(lower_order_below=15), MULTI, 12, V, is_drawn=True, **multi("sde-dpmsolver++", 2)
    ),
    case(
        DPMpp2MSDE(form=HEUN),
        MULTI,
        16,
        is_drawn=True,
        **multi("sde-dpmsolver++", 2, solver_type="heun"),
        **LOW,
    ),
    case(
        DPMpp3MSDE(form=Form.MIDPOINT, lower_order_below=15, compat=DIFFUSERS),
        MULTI,
        12,
        V,
        is_drawn=True,
        **multi("sde-dpmsolver++", 3),
    ),
    case(
        DPMpp2MSDE(lower_order_below=15),
        MULTI,
        10,
        FLOW,
        is_drawn=True,
        **multi("sde-dpmsolver++", 2),
        **FLOWING,
    ),
]
BLOCKS = [
    case(DDIM(), SINGLE, 12, **single("dpmsolver", 1), **LOW),
    case(DPMSolverBlocks(2), SINGLE, 12, V, **single("dpmsolver", 2), **LOW),
    case(DPMSolverBlocks(3), SINGLE, 12, **single("dpmsolver", 3), **LOW),
    case(DPMSolverBlocks(3, HEUN), SINGLE, 11, **single("dpmsolver", 3, solver_type="heun"), **LOW),
    case(DDIM(), SINGLE, 12, X0, **single("dpmsolver++", 1)),
    case(DPMppBlocks(2), SINGLE, 12, **single("dpmsolver++", 2)),
    case(DPMppBlocks(2, HEUN), SINGLE, 13, V, **single("dpmsolver++", 2, solver_type="heun")),
    case(DPMppBlocks(3), SINGLE, 12, **single("dpmsolver++", 3)),
    case(DPMppBlocks(3), SINGLE, 14, V, **single("dpmsolver++", 3, use_karras_sigmas=True)),
    case(DPMppBlocks(3, HEUN), SINGLE, 13, **single("dpmsolver++", 3, solver_type="heun"), **LOW),
    case(
        DPMppBlocks(3, ending=Ending.FULL),
        SINGLE,
        12,
        V,
        **single("dpmsolver++", 3, lower_order_final=False),
        **LOW,
    ),
    case(DPMppBlocks(2), SINGLE, 9, FLOW, **single("dpmsolver++", 2), **FLOWING),
    case(DPMppBlocks(3), SINGLE, 10, FLOW, **single("dpmsolver++", 3), **FLOWING),
    case(DPMppBlocksSDE(2), SINGLE, 12, is_drawn=True, **single("sde-dpmsolver++", 2)),
    case(
        DPMppBlocksSDE(2, HEUN),
        SINGLE,
        11,
        V,
        is_drawn=True,
        **single("sde-dpmsolver++", 2, solver_type="heun"),
        **LOW,
    ),
    case(DPMppBlocksSDE(3), SINGLE, 12, is_drawn=True, **single("sde-dpmsolver++", 3)),
    case(
        DPMppBlocksSDE(3, HEUN, compat=DIFFUSERS),
        SINGLE,
        13,
        X0,
        is_drawn=True,
        **single("sde-dpmsolver++", 3, solver_type="heun"),
    ),
]
EDM_NAME, COSINE_NAME = "edm_dpmsolver_multistep", "cosine_dpmsolver_multistep"
PRECONDITIONED = [
    preconditioned(DPMpp2M(), EDM_NAME, 12, EDM, solver_order=2),
    preconditioned(DPMpp3M(), EDM_NAME, 16, EDM, solver_order=3, sigma_schedule="exponential"),
    preconditioned(
        DPMpp2MSDE(lower_order_below=15),
        EDM_NAME,
        12,
        EDM,
        is_drawn=True,
        solver_order=2,
        algorithm_type="sde-dpmsolver++",
    ),
    preconditioned(DPMpp2MSDE(lower_order_below=15), COSINE_NAME, 12, V, is_drawn=True),
    preconditioned(DPMpp2MSDE(form=HEUN), COSINE_NAME, 16, V, is_drawn=True, solver_type="heun"),
]
CASES = [*MULTISTEP, *NOISY, *BLOCKS, *PRECONDITIONED]

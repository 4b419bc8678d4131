"""Tables of every named solver that a toy network can run, for the devices' tests."""

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import VE, Exponential, Final, Flow, Karras
from denoisert.runtime.sampling.solvers import Correction, PredictorCorrector, Solver
from denoisert.runtime.sampling.table import SamplerTable

FLOW = (Flow(), Karras(5.0, 0.05, 8.0), Parametrisation.FLOW)
NOISE_KEPT = (Flow(), Exponential(0.05, 8.0, Final.SPACED), Parametrisation.FLOW)
BOX = (VE(0.05, 4.0), Exponential(0.05, 4.0), Parametrisation.X0)
# Of their own: a rule with noise, an operation in the prologue, both together.
SPECIAL = {
    "corrected": (PredictorCorrector(1, 0.2), FLOW),
    "box": (PredictorCorrector(0, box=(-1.0, 1.5)), BOX),
    "corrected box": (PredictorCorrector(1, 0.2, Correction.NORMS, box=(0.0, 1.0)), BOX),
}
# What a request must bring or a network must be told or answer besides: tests of their own.
APART = {
    "dpm_v3",
    "flow_map",
    "inpainted",
    "inverse",
    "noise_encoder",
    "noise_replay",
    "residual_bridge",
    "shortcut",
    "two_sided_interpolant",
}
NAMES = [*(name for name in SOLVERS if name not in APART), *SPECIAL]
# Five registers, two draws, a corrector, a history with noise, single steps between the points.
FEW = ["pndm", "dpmpp_sde", "unipc", "sa_solver", "dpmpp_3s", "edict", *SPECIAL]


def named_table(name: str, steps: int = 5) -> SamplerTable:
    """The table of a solver on the first path that it takes, with guidance."""
    solver, path = SPECIAL.get(name) or (SOLVERS[name](), FLOW)
    try:
        return _table(solver, steps, *path)
    except InvalidInput:
        return _table(solver, steps, *NOISE_KEPT)


def _table(solver: Solver, steps: int, schedule, spacing, parametrisation) -> SamplerTable:
    return fold(solver.rows(spacing.grid(schedule, steps)), parametrisation, CFG(1.5))

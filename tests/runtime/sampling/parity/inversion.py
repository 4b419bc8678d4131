"""Inverted solvers beside diffusers' inverse schedulers."""

import numpy as np

from denoisert.runtime.sampling.schedules import Final, Leading, Linear, ScaledLinear, Timesteps
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, DPMpp3M, Inverse, Told
from tests.oracles.case import diffusers
from tests.oracles.pair import EPS, SCHEDULES, V

# diffusers' inverse of a multistep solver goes up from time 0 by times that it rounds itself.
TIMES = tuple(float(time) for time in np.linspace(0, 999, 11).round()[::-1][:-1])
UPWARD = Timesteps(TIMES, Final.LAST).grid(Linear(), 10)

CASES = [
    *(
        diffusers(
            Inverse(DDIM()),
            "ddim_inverse",
            Leading().grid(schedule, 10),
            parametrisation,
            clip_sample=False,
            **SCHEDULES[schedule],
        )
        for schedule, parametrisation in ((ScaledLinear(), EPS), (Linear(), V))
    ),
    *(
        diffusers(
            Inverse(solver, Told.OWN),
            "dpmsolver_multistep_inverse",
            UPWARD,
            parametrisation,
            solver_order=order,
            **SCHEDULES[Linear()],
        )
        for solver, order, parametrisation in ((DPMpp2M(), 2, EPS), (DPMpp3M(), 3, V))
    ),
]

"""DDIM and Euler beside diffusers."""

from denoisert.runtime.sampling.schedules import Linear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, Euler, EulerAncestral, Heun
from tests.oracles import float64
from tests.oracles.case import diffusers, shaped
from tests.oracles.pair import SCHEDULES, V

GRID = Trailing().grid(Linear(), 10)
CONFIG = {**SCHEDULES[Linear()], "timestep_spacing": "trailing"}

CASES = [
    *(
        diffusers(
            DDIM(eta),
            "ddim",
            GRID,
            V,
            step=lambda draws, eta=eta: {"eta": eta, "variance_noise": shaped(draws)},
            clip_sample=False,
            **CONFIG,
        )
        for eta in (0.0, 0.5, 1.0)
    ),
    diffusers(Euler(), "euler_discrete", GRID, is_ve=True, **CONFIG),
    diffusers(Heun(), "heun_discrete", GRID, is_ve=True, **CONFIG),
    diffusers(
        EulerAncestral(),
        "euler_ancestral_discrete",
        GRID,
        is_ve=True,
        step=lambda draws: {"generator": float64.Noises(draws)},
        **CONFIG,
    ),
]

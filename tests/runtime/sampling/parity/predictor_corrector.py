"""Predictor-corrector sampling beside diffusers (variance exploding) and the paper's loop."""

import numpy as np
import torch

from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Linear, Trailing
from denoisert.runtime.sampling.solvers import Correction, Predictor, PredictorCorrector
from tests.oracles.case import Case
from tests.oracles.float64 import Noises, double_defaults
from tests.oracles.pair import EPS, SHAPE, upstream

SCORE = Parametrisation.SCORE
STEPS = 7


def score_sde_ve():
    with double_defaults():
        scheduler = upstream("sde_ve", STEPS, sigma_max=3.0, snr=0.2)
        scheduler.set_sigmas(STEPS)
    return scheduler


def diffusers_loop(network, draws):
    """The loop of diffusers' ScoreSdeVePipeline with one correction; it ends in the mean."""
    scheduler, noises = score_sde_ve(), Noises(draws[1:])
    x = torch.from_numpy(draws[0].reshape(SHAPE)) * 3.0
    for i, t in enumerate(scheduler.timesteps):
        level = float(scheduler.sigmas[i])
        answer = torch.from_numpy(network(x.numpy(), level))
        with double_defaults():
            x = scheduler.step_correct(answer, x, generator=noises).prev_sample
        answer = torch.from_numpy(network(x.numpy(), level))
        with double_defaults():
            found = scheduler.step_pred(answer, t, x, generator=noises)
        x = found.prev_sample
    return found.prev_sample_mean.numpy()


def ve_grid():
    """Coefficients at the levels that it steps through, and the times that its network is told."""
    scheduler = score_sde_ve()
    levels = np.append(scheduler.discrete_sigmas.numpy()[::-1], 0.0)
    told = np.append(scheduler.sigmas.numpy(), np.nan)
    return Grid(np.ones(STEPS + 1), levels, told, 3.0)


VP = Trailing().grid(Linear(), 9)


def paper_vp(corrections, correction, snr):
    """Algorithms 2 and 5 with the discrete betas of the steps taken."""

    def loop(network, draws):
        x, noises = VP.noise_gain * draws[0], iter(draws[1:])
        kept = VP.alpha**2
        for step in range(9):
            beta = 1 - kept[step] / kept[step + 1]
            for _ in range(corrections):
                z = next(noises)
                g = -network(x, VP.model_time[step]) / VP.sigma[step]
                norms = np.linalg.norm(z) / np.linalg.norm(g)
                size = norms if correction is Correction.NORMS else VP.sigma[step]
                e = 2 * (1 - beta) * (snr * size) ** 2
                x = x + e * g + np.sqrt(2 * e) * z
            g = -network(x, VP.model_time[step]) / VP.sigma[step]
            x = (2 - np.sqrt(1 - beta)) * x + beta * g
            if step < 8:
                x = x + np.sqrt(beta) * next(noises)
        return x

    return loop


CASES = [
    Case(
        PredictorCorrector(snr=0.2),
        ve_grid(),
        SCORE,
        "diffusers ScoreSdeVeScheduler",
        diffusers_loop,
        "one correction",
    ),
    *(
        Case(
            PredictorCorrector(count, 0.16, kind),
            VP,
            EPS,
            "Song et al. 2021, algorithms 3 and 5, written out",
            paper_vp(count, kind, 0.16),
        )
        for count, kind in ((2, Correction.NORMS), (1, Correction.LEVEL), (0, Correction.NORMS))
    ),
    Case(
        PredictorCorrector(0, predictor=Predictor.REVERSE_DIFFUSION),
        VP,
        EPS,
        "Song et al. 2021, algorithm 3, written out",
        paper_vp(0, Correction.NORMS, 0.16),
        "no correction",
    ),
]

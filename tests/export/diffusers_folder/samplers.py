"""A folder's recommended sampler and its diffusers scheduler in float64, on one exact denoiser."""

import numpy as np

from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime.bundle.card import Card, Network, OutputSlice, TimeShape
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import Mixture, execute
from denoisert.runtime.sampling.oracle import network as raw_network
from tests.oracles import float64
from tests.oracles.pair import LAYOUT, SHAPE, draws

MODULES = {
    "DDIMScheduler": "ddim",
    "DPMSolverMultistepScheduler": "dpmsolver_multistep",
    "EulerAncestralDiscreteScheduler": "euler_ancestral_discrete",
    "EulerDiscreteScheduler": "euler_discrete",
    "FlowMatchEulerDiscreteScheduler": "flow_match_euler_discrete",
    "HeunDiscreteScheduler": "heun_discrete",
    "PNDMScheduler": "pndm",
}
SIGMA_STATES = ("EulerAncestral", "EulerDiscrete", "HeunDiscrete")


def card_of(sampling):
    """The smallest card with this training and sampler."""
    port = (OutputSlice("prediction", 0, LAYOUT.parts[0].channels),)
    network = Network("time", TimeShape.LANES, "float32", (port,))
    return Card("test", "none", sampling.training, LAYOUT, (), network, sampling.recommended)


class Pair:
    """One configuration read by us and run by diffusers.

    Args:
        class_name: of the scheduler.
        config: what its file says, without the betas' defaults of latent models.
        steps: how many.
        seed: of noise and data.
    """

    def __init__(self, class_name, config, steps, seed=5):
        self.class_name, self.config, self.steps = class_name, config, steps
        self.sampling = read_scheduler(class_name, config)
        rng = np.random.default_rng(seed)
        self.noise = draws(rng, steps)
        data = Mixture(
            np.array([0.3, 0.7]), rng.standard_normal((2, LAYOUT.elements)), np.array([0.2, 0.1])
        )
        schedule, meaning = self.sampling.training.schedule, self.sampling.training.parametrisation
        self.network = raw_network([data], meaning, lambda time: self._levels(schedule, time))
        advice = self.sampling.recommended
        self.sampler = Sampler(advice.solver, advice.spacing, steps, Unguided())
        self.grid = advice.spacing.grid(schedule, steps)

    @staticmethod
    def _levels(schedule, time):
        alpha, sigma = schedule.at(np.array([time]))
        return float(alpha[0]), float(sigma[0])

    def ours(self):
        """The final latent of our compiled table."""
        table = compile_table(self.sampler, card_of(self.sampling))
        return execute(table, LAYOUT, self.network, self.noise).latent

    def scheduler(self):
        module = float64.module(MODULES[self.class_name])
        scheduler = getattr(module, self.class_name)(**self.config)
        scheduler.set_timesteps(self.steps)
        return scheduler

    def theirs(self):
        """The final latent of diffusers' loop from the same first latent."""
        draws = "Ancestral" in self.class_name
        step = {"generator": float64.Noises(self.noise[1:])} if draws else {}
        is_ve = self.class_name.startswith(SIGMA_STATES)
        first, last = (self.grid.alpha[0], self.grid.alpha[-1]) if is_ve else (1.0, 1.0)
        start = self.noise[0].reshape(SHAPE) / first

        def answer(latent, time):
            return self.network(latent.reshape(-1), time, 0).reshape(latent.shape)

        return float64.sample(self.scheduler(), answer, start, **step).reshape(-1) * last

    def error(self):
        """Largest difference, relative to the largest value."""
        expected = self.theirs()
        return float(np.abs(self.ours() - expected).max() / np.abs(expected).max())

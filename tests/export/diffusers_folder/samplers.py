"""A folder's recommended sampler and its diffusers scheduler in float64, on one random network."""

import copy
import functools
import json
import math
import warnings

import numpy as np

from denoisert.export.sources.diffusers.pipeline import Pipeline, Times
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime.bundle.card import Card, Network, OutputSlice, TimeShape
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.schedules import ResolutionShifted, Stretched
from tests.oracles import float64
from tests.oracles.case import difference
from tests.oracles.pair import LAYOUT, SHAPE, TOLERANCE, draws, tanh_network

MODULES = {
    "DDIMParallelScheduler": "ddim_parallel",
    "DDIMScheduler": "ddim",
    "DDPMParallelScheduler": "ddpm_parallel",
    "DDPMScheduler": "ddpm",
    "DEISMultistepScheduler": "deis_multistep",
    "DPMSolverMultistepScheduler": "dpmsolver_multistep",
    "DPMSolverSinglestepScheduler": "dpmsolver_singlestep",
    "EulerAncestralDiscreteScheduler": "euler_ancestral_discrete",
    "EulerDiscreteScheduler": "euler_discrete",
    "FlowMatchEulerDiscreteScheduler": "flow_match_euler_discrete",
    "FlowMatchHeunDiscreteScheduler": "flow_match_heun_discrete",
    "HeunDiscreteScheduler": "heun_discrete",
    "KDPM2AncestralDiscreteScheduler": "k_dpm_2_ancestral_discrete",
    "KDPM2DiscreteScheduler": "k_dpm_2_discrete",
    "LCMScheduler": "lcm",
    "LMSDiscreteScheduler": "lms_discrete",
    "PNDMScheduler": "pndm",
    "SASolverScheduler": "sasolver",
    "TCDScheduler": "tcd",
    "UniPCMultistepScheduler": "unipc_multistep",
}
SIGMA_STATES = ("Euler", "HeunDiscrete", "LMS", "KDPM2")
DRAWING = ("EulerAncestral", "DDPM", "LCM", "TCD", "SASolver", "KDPM2Ancestral")
SPARE = 4  # draws that upstream makes and multiplies by zero


@functools.cache
def made(class_name, config):
    """A float64 scheduler from the text of its configuration; some take half a second to make."""
    kind = getattr(float64.module(MODULES[class_name]), class_name)
    with warnings.catch_warnings(), float64.double_defaults():
        warnings.simplefilter("ignore", FutureWarning)  # "dpmsolver" is advised against
        return kind.from_config(json.loads(config))


def card_of(sampling, ports=1):
    """The smallest card with this training and sampler."""
    channels = LAYOUT.parts[0].channels
    slices = tuple(OutputSlice("prediction", i * channels, channels) for i in range(ports))
    network = Network("time", TimeShape.LANES, "float32", tuple((each,) for each in slices))
    return Card("test", "none", sampling.training, LAYOUT, (), network, sampling.recommended)


class Pair:
    """One configuration read by us and run by diffusers.

    Args:
        class_name: of the scheduler.
        config: what its file says.
        steps: how many.
        pipeline: how the scheduler is called.
        seed: of noise and network.
    """

    def __init__(self, class_name, config, steps, pipeline=None, seed=5):
        self.class_name, self.config, self.steps = class_name, dict(config), steps
        self.pipeline = pipeline or Pipeline()
        read = {key: None if value == -math.inf else value for key, value in config.items()}
        self.sampling = read_scheduler(class_name, read, pipeline=pipeline)  # as `file` reads it
        rng = np.random.default_rng([seed, steps])
        self.noise = draws(rng, 2 * steps + SPARE)
        self.network = tanh_network(rng)
        advice = self.sampling.recommended
        self.grid = advice.spacing.grid(self.sampling.training.schedule, steps)
        sampler = Sampler(advice.solver, advice.spacing, steps, Unguided())
        self.table = compile_table(sampler, card_of(self.sampling, self.pipeline.ports))

    def ours(self):
        """The final latent of our compiled table."""
        return execute(self.table, LAYOUT, lambda x, t, _: self.network(x, t), self.noise).latent

    def scheduler(self):
        """Diffusers' scheduler in float64, made as a folder is loaded, with its times."""
        scheduler = copy.deepcopy(made(self.class_name, json.dumps(self.config)))
        scheduler.set_timesteps(**self._call())
        return scheduler

    def _call(self):
        call = {"num_inference_steps": self.steps}
        if self.pipeline.times is Times.PIPELINE:
            call["sigmas"] = np.linspace(1.0, 1.0 / self.steps, self.steps)
        spacing = self.sampling.recommended.spacing
        if isinstance(spacing, Stretched):
            spacing = spacing.spacing
        if isinstance(spacing, ResolutionShifted):
            call["mu"] = spacing.mu
        return call

    def theirs(self):
        """The final latent of diffusers' loop from the same first latent."""
        is_ve = self.class_name.startswith(SIGMA_STATES)
        first, last = (self.grid.alpha[0], self.grid.alpha[-1]) if is_ve else (1.0, 1.0)
        start = self.noise[0].reshape(SHAPE) / first
        found = float64.sample(self.scheduler(), self.network, start, **self._step())
        return found.reshape(-1) * last

    def _step(self):
        """Upstream draws in every step; where ours draws nothing its gain has to be 0."""
        is_drawn = self.config.get("stochastic_sampling") or self.class_name.startswith(DRAWING)
        if not is_drawn and not self.config.get("algorithm_type", "").startswith("sde"):
            return {}
        left, each = iter(self.noise[1:]), self.table.draws[1:]
        if len(each) != self.steps:
            return {"generator": float64.Noises(list(left))}
        other = iter(draws(np.random.default_rng(self.steps), self.steps))
        aligned = [next(left if count else other) for count in each]
        return {"generator": float64.Noises(aligned)}

    @property
    def tolerance(self):
        """1e-12, but upstream's DEIS subtracts states of size sigma_ve where it finds E.

        At the noise end of the cosine schedule, sigma_ve = 2e4, it is 5e-12 from our table run in
        extended precision; our float64 run is 2e-16 from it.
        """
        if not self.class_name.startswith("DEIS") or self.grid[0].alpha == 0.0:
            return TOLERANCE
        return max(TOLERANCE, 64 * 2.0**-53 * self.grid[0].sigma_ve)

    def error(self):
        """Largest difference, relative to the largest value."""
        with np.errstate(all="ignore"):
            return difference(self.ours(), self.theirs())

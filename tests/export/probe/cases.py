"""diffusers' schedulers with the registers that they need, and what tells them from ours.

K is the least number of latents that any table keeps: measured once by the rank of the map from
past to future for each of them, and known from the methods: one-step 1, predictor-corrector of one
step 2, multistep of order p: p, one more with a corrector; PNDM's Runge-Kutta warm-up 5.
"""

import inspect
from typing import NamedTuple

import torch

from denoisert.export.probe import Start
from tests.oracles.pair import upstream


class Torch:
    """A generator in place of diffusers': its draws come from torch, so the probe sees them."""

    def next(self, shape):
        return torch.randn(shape)


class Case(NamedTuple):
    name: str
    registers: int
    config: dict = {}  # noqa: RUF012  never written
    step: dict = {}  # noqa: RUF012
    start: Start = Start.NOISE

    def __str__(self):
        words = [f"{key}={value}" for key, value in {**self.config, **self.step}.items()]
        return "-".join([self.name, *words])

    def build(self, steps, **config):
        if self.name == "ltx_euler_ancestral_rf":  # else it asks a scheduler of the float32 form
            sigmas = [1.0 - index / steps for index in range(steps + 1)]
            steps = {"num_inference_steps": steps, "sigmas": sigmas}
        return upstream(self.name, steps, **self.config, **config)

    def options(self, generator):
        takes = "generator" in inspect.signature(type(self.build(4)).step).parameters
        return {**self.step, **({"generator": generator} if takes else {})}


FREE = {"clip_sample": False}
FEW = {"num_train_timesteps": 100, "beta_end": 0.2}  # its constructor interpolates them all
MULTI, SINGLE, UNIPC = "dpmsolver_multistep", "dpmsolver_singlestep", "unipc_multistep"
CASES = [
    Case("ddim", 1, FREE),
    Case("ddim", 1, FREE, {"eta": 0.7}),
    Case("ddpm", 1, FREE),
    Case("ddpm", 1, {**FREE, "variance_type": "fixed_large"}),
    Case("pndm", 4, {"skip_prk_steps": True}),
    Case("pndm", 5),
    Case("euler_discrete", 1, {"use_karras_sigmas": True}),
    Case("euler_discrete", 1, {}, {"s_churn": 3.0}),
    Case("euler_ancestral_discrete", 1),
    Case("heun_discrete", 2),
    Case("k_dpm_2_discrete", 2, FEW),
    Case("k_dpm_2_ancestral_discrete", 2, FEW),
    Case("lms_discrete", 4),
    *(Case("deis_multistep", order, {"solver_order": order}) for order in (1, 2, 3)),
    *(Case(MULTI, order, {"solver_order": order}) for order in (1, 2, 3)),
    *(
        Case(MULTI, order, {"solver_order": order, "algorithm_type": "sde-dpmsolver++"})
        for order in (1, 2, 3)
    ),
    Case(
        MULTI,
        2,
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"},
    ),
    *(Case(SINGLE, min(order, 2), {"solver_order": order}) for order in (1, 2, 3)),
    *(Case(UNIPC, order + 1, {"solver_order": order}) for order in (1, 2, 3)),
    Case(UNIPC, 4, {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    Case("sasolver", 3),
    Case("lcm", 1, FREE),
    Case("tcd", 1, {}, {"eta": 0.3}),
    Case("flow_match_euler_discrete", 1, {"shift": 3.0}),
    Case("flow_match_euler_discrete", 1, {"stochastic_sampling": True}),
    Case("flow_match_heun_discrete", 2, {"shift": 3.0}),
    Case("flow_match_lcm", 1),
    Case("edm_euler", 1),
    Case("edm_euler", 1, {"sigma_data": 1.0}),
    Case("edm_euler", 1, {"sigma_data": 0.8, "prediction_type": "v_prediction"}),
    *(Case("edm_dpmsolver_multistep", order, {"solver_order": order}) for order in (2, 3)),
    Case("edm_dpmsolver_multistep", 2, {"algorithm_type": "sde-dpmsolver++"}),
    Case("ddim_inverse", 1, FREE, start=Start.SOURCE),
    Case("dpmsolver_multistep_inverse", 2, start=Start.SOURCE),
    Case("ddim_cogvideox", 1, {**FREE, "prediction_type": "v_prediction"}),
    Case("ltx_euler_ancestral_rf", 1),
]
UNCLIP = Case("unclip", 1, FREE)
BOUNDED = [
    Case("ddim", 1, {}, {"eta": 1.0}),
    Case("ddim", 1, {}, {"eta": 0.5, "use_clipped_model_output": True}),
    Case("ddpm", 1, {"clip_sample_range": 1.5}),
    Case("lcm", 1, {"clip_sample": True}),
    Case(MULTI, 2, {"thresholding": True, "sample_max_value": 1.5}),
    Case(UNIPC, 3, {"thresholding": True, "sample_max_value": 1.5}),
    Case("ddim_inverse", 1, start=Start.SOURCE),
]

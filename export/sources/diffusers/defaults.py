"""What every scheduler class of diffusers assumes where its configuration says nothing.

Defaults differ between classes under the same names, so they are written out.

Source: signatures of diffusers 0.42.1; a test compares them with the installed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Settings = Mapping[str, Any]

_BETAS: Final[dict[str, Any]] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
_LATENT_BETAS: Final[dict[str, Any]] = _BETAS | {"beta_start": 0.00085, "beta_end": 0.012}
_LEVELS: Final[dict[str, Any]] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_FLOW: Final[dict[str, Any]] = {"use_flow_sigmas": False, "flow_shift": 1.0}
_DYNAMIC: Final[dict[str, Any]] = {
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}
_THRESHOLD: Final[dict[str, Any]] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
_CLIP: Final[dict[str, Any]] = {"clip_sample": True, "clip_sample_range": 1.0}
_UNCLIPPED: Final[dict[str, Any]] = {"clip_sample": False, "clip_sample_range": 1.0}
_ZERO_SNR: Final[dict[str, Any]] = {"rescale_betas_zero_snr": False}
_LINSPACE: Final[dict[str, Any]] = {"timestep_spacing": "linspace"}
_LEADING: Final[dict[str, Any]] = {"timestep_spacing": "leading"}

_DDIM: Final[dict[str, Any]] = (
    _BETAS | _THRESHOLD | _LEADING | _CLIP | _ZERO_SNR | {"set_alpha_to_one": True}
)
_DDPM: Final[dict[str, Any]] = (
    _BETAS | _THRESHOLD | _LEADING | _CLIP | _ZERO_SNR | {"variance_type": "fixed_small"}
)
_SIGMA: Final[dict[str, Any]] = _BETAS | _LEVELS | _LINSPACE
_LATENT_SIGMA: Final[dict[str, Any]] = _LATENT_BETAS | _LEVELS | _LINSPACE
_DPM: Final[dict[str, Any]] = (
    _BETAS
    | _LEVELS
    | _THRESHOLD
    | _FLOW
    | _DYNAMIC
    | {
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "final_sigmas_type": "zero",
        "lambda_min_clipped": None,  # -inf in diffusers, see file.read_object
        "variance_type": None,
    }
)
_DISTILLED: Final[dict[str, Any]] = (
    _LATENT_BETAS
    | _UNCLIPPED
    | _THRESHOLD
    | _LEADING
    | _ZERO_SNR
    | {
        "beta_schedule": "scaled_linear",
        "original_inference_steps": 50,
        "set_alpha_to_one": True,
        "timestep_scaling": 10.0,
    }
)

DEFAULTS: Final[Mapping[str, Settings]] = {
    "DDIMParallelScheduler": _DDIM,
    "DDIMScheduler": _DDIM,
    "DDPMParallelScheduler": _DDPM,
    "DDPMScheduler": _DDPM,
    "DEISMultistepScheduler": _BETAS
    | _LEVELS
    | _THRESHOLD
    | _LINSPACE
    | _FLOW
    | _DYNAMIC
    | {
        "solver_order": 2,
        "algorithm_type": "deis",
        "solver_type": "logrho",
        "lower_order_final": True,
    },
    "DPMSolverMultistepScheduler": _DPM
    | _LINSPACE
    | _ZERO_SNR
    | {"lower_order_final": True, "euler_at_final": False, "use_lu_lambdas": False},
    "DPMSolverSinglestepScheduler": {
        key: value for key, value in _DPM.items() if key != "steps_offset"
    }
    | {"lower_order_final": False},
    "EulerAncestralDiscreteScheduler": _BETAS | _LINSPACE | _ZERO_SNR,
    "EulerDiscreteScheduler": _SIGMA
    | _ZERO_SNR
    | {
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "final_sigmas_type": "zero",
    },
    "FlowMatchEulerDiscreteScheduler": _LEVELS
    | _DYNAMIC
    | {
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "invert_sigmas": False,
        "shift_terminal": None,
        "stochastic_sampling": False,
    },
    "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": 1000, "shift": 1.0},
    "HeunDiscreteScheduler": _LATENT_SIGMA | _UNCLIPPED,
    "KDPM2AncestralDiscreteScheduler": _LATENT_SIGMA,
    "KDPM2DiscreteScheduler": _LATENT_SIGMA,
    "LCMScheduler": _DISTILLED,
    "LMSDiscreteScheduler": _SIGMA,
    "PNDMScheduler": _BETAS | _LEADING | {"skip_prk_steps": False, "set_alpha_to_one": False},
    "SASolverScheduler": _BETAS
    | _LEVELS
    | _THRESHOLD
    | _LINSPACE
    | _FLOW
    | {
        "predictor_order": 2,
        "corrector_order": 2,
        "tau_func": None,
        "algorithm_type": "data_prediction",
        "lower_order_final": True,
        "lambda_min_clipped": None,
        "variance_type": None,
    },
    "TCDScheduler": _DISTILLED,
    "UniPCMultistepScheduler": _BETAS
    | _LEVELS
    | _THRESHOLD
    | _LINSPACE
    | _FLOW
    | _DYNAMIC
    | _ZERO_SNR
    | {
        "solver_order": 2,
        "predict_x0": True,
        "solver_type": "bh2",
        "lower_order_final": True,
        "disable_corrector": (),
        "solver_p": None,
        "final_sigmas_type": "zero",
        "sigma_min": None,
        "sigma_max": None,
        "shift_terminal": None,
    },
}

UNLISTED: Final[Settings] = {"sigma_min": None, "sigma_max": None}
"""Ends of levels: read by every class that has levels, also where its signature lacks them."""

"""What a scheduler configuration says, completed by the defaults of its class and checked by type.

Defaults differ between classes under the same names, so they are written out. Keys that a class
does not have are ignored, as diffusers ignores them.

Source: signatures of diffusers 0.42.1; a test compares them with the installed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from denoisert.export.sources.diffusers.classes import shown
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.errors import ExportError

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
_SIGMAS: Final[dict[str, Any]] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_THRESHOLD: Final[dict[str, Any]] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
_LINSPACE: Final[dict[str, Any]] = {"timestep_spacing": "linspace"}
_LEADING: Final[dict[str, Any]] = {"timestep_spacing": "leading"}

DEFAULTS: Final[Mapping[str, Settings]] = {
    "DDIMScheduler": _BETAS
    | _THRESHOLD
    | _LEADING
    | {
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "set_alpha_to_one": True,
        "rescale_betas_zero_snr": False,
    },
    "PNDMScheduler": _BETAS | _LEADING | {"skip_prk_steps": False, "set_alpha_to_one": False},
    "EulerDiscreteScheduler": _BETAS
    | _SIGMAS
    | _LINSPACE
    | {
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
        "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": _BETAS | _LINSPACE | {"rescale_betas_zero_snr": False},
    "HeunDiscreteScheduler": _BETAS
    | _SIGMAS
    | _LINSPACE
    | {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "clip_sample_range": 1.0,
    },
    "DPMSolverMultistepScheduler": _BETAS
    | _SIGMAS
    | _THRESHOLD
    | _LINSPACE
    | {
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "lower_order_final": True,
        "euler_at_final": False,
        "use_lu_lambdas": False,
        "use_flow_sigmas": False,
        "flow_shift": 1.0,
        "final_sigmas_type": "zero",
        "lambda_min_clipped": None,  # -inf in diffusers, see file.read_object
        "variance_type": None,
        "rescale_betas_zero_snr": False,
        "use_dynamic_shifting": False,
        "time_shift_type": "exponential",
    },
    "FlowMatchEulerDiscreteScheduler": _SIGMAS
    | {
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": False,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "invert_sigmas": False,
        "shift_terminal": None,
        "time_shift_type": "exponential",
        "stochastic_sampling": False,
    },
}

NEUTRAL: Final[Settings] = {
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
    "use_flow_sigmas": False,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "variance_type": None,
    "use_dynamic_shifting": False,
    "invert_sigmas": False,
    "shift_terminal": None,
    "stochastic_sampling": False,
}
"""Settings with one value that the tables reproduce; any other is refused by name."""

FLOW_NEUTRAL: Final[Settings] = {"use_karras_sigmas": False}
"""Further ones of flows, whose levels diffusers spaces after the shift."""

NUMBERS: Final = ("sigma_min", "sigma_max", "lambda_min_clipped")
"""Settings that are a number or not set."""


def read_settings(class_name: str, config: Mapping[str, Any]) -> Settings:
    """Every setting of a scheduler class, typed.

    Args:
        class_name: a key of `DEFAULTS`.
        config: what its configuration file holds.

    Raises:
        ExportError: an unknown class, or a setting that no table reproduces.
        InvalidInput: a value of another type.
    """
    if class_name not in DEFAULTS:
        raise ExportError(
            f"scheduler {shown(class_name)} is unknown; known are {', '.join(DEFAULTS)}. Save the "
            "pipeline with one of them."
        )
    settings = {
        key: _typed(class_name, key, config.get(key), default)
        for key, default in DEFAULTS[class_name].items()
    }
    neutral_values = {**NEUTRAL, **FLOW_NEUTRAL} if "shift" in settings else NEUTRAL
    for key, neutral in neutral_values.items():
        if settings.get(key, neutral) != neutral:
            raise ExportError(
                f"{class_name} has {key} = {shown(settings[key])}; only {neutral!r} is reproduced "
                "here. Save the pipeline with another scheduler configuration."
            )
    return settings


def _typed(class_name: str, key: str, value: object, default: object) -> object:
    """The value in the type of its default; null stands for the default."""
    if value is None:
        return default
    kind = float if key in NUMBERS else type(default)
    if kind is type(None):
        return value
    return decode(kind, value, f"{class_name}.{key}", {})

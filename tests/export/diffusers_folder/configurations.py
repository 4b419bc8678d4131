"""Configurations of schedulers: published ones, those that are exact, and many more of these."""

from itertools import product

from denoisert.export.sources.diffusers.pipeline import Pipeline, Times

DDIM, DDPM, PNDM = "DDIMScheduler", "DDPMScheduler", "PNDMScheduler"
EULER, ANCESTRAL = "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"
HEUN, LMS = "HeunDiscreteScheduler", "LMSDiscreteScheduler"
KDPM2, KDPM2A = "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"
MULTI, SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
UNIPC, DEIS, SA = "UniPCMultistepScheduler", "DEISMultistepScheduler", "SASolverScheduler"
LCM, TCD = "LCMScheduler", "TCDScheduler"
FLOW, FLOW_HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"

SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
LINSPACE = SCALED | {"timestep_spacing": "linspace"}
LEADING = SCALED | {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = SCALED | {"timestep_spacing": "trailing"}
LAST, V = {"final_sigmas_type": "sigma_min"}, {"prediction_type": "v_prediction"}
X0 = {"prediction_type": "sample"}
KARRAS, LU = {"use_karras_sigmas": True}, {"use_lu_lambdas": True}
EXPONENTIAL, BETA = {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}
ENDS = {"sigma_min": 0.05, "sigma_max": 12.0}
FLOWING = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
UNCLIPPED = {"clip_sample": False}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
ZERO_SNR = {"rescale_betas_zero_snr": True}
GIVEN = Pipeline(Times.PIPELINE)


def dpm(algorithm, order, solver_type="midpoint", **more):
    return {"algorithm_type": algorithm, "solver_order": order, "solver_type": solver_type, **more}


# The files of the models, from which the keys of other libraries are left out.
PUBLISHED = {
    "Stable Diffusion 1.5": (
        PNDM,
        SCALED
        | {
            "num_train_timesteps": 1000,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
            "clip_sample": False,
        },
        None,
    ),
    "Stable Diffusion 2.1": (
        DDIM,
        SCALED
        | {
            "num_train_timesteps": 1000,
            "prediction_type": "v_prediction",
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
            "clip_sample": False,
        },
        None,
    ),
    "SDXL": (
        EULER,
        SCALED
        | {
            "clip_sample": False,
            "interpolation_type": "linear",
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "sample_max_value": 1.0,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "timestep_spacing": "leading",
            "trained_betas": None,
            "use_karras_sigmas": False,
        },
        None,
    ),
    "SDXL Turbo": (
        ANCESTRAL,
        SCALED
        | {
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "steps_offset": 1,
            "timestep_spacing": "trailing",
            "trained_betas": None,
        },
        None,
    ),
    "Stable Diffusion 3": (FLOW, {"num_train_timesteps": 1000, "shift": 3.0}, None),
    "FLUX.1 dev": (
        FLOW,
        {
            "base_image_seq_len": 256,
            "base_shift": 0.5,
            "max_image_seq_len": 4096,
            "max_shift": 1.15,
            "num_train_timesteps": 1000,
            "shift": 3.0,
            "use_dynamic_shifting": True,
        },
        GIVEN,
    ),
    "FLUX.1 schnell": (
        FLOW,
        {
            "base_image_seq_len": 256,
            "base_shift": 0.5,
            "max_image_seq_len": 4096,
            "max_shift": 1.15,
            "num_train_timesteps": 1000,
            "shift": 1.0,
            "use_dynamic_shifting": False,
        },
        GIVEN,
    ),
    "PixArt": (
        MULTI,
        {
            "algorithm_type": "dpmsolver++",
            "beta_end": 0.02,
            "beta_schedule": "linear",
            "beta_start": 0.0001,
            "dynamic_thresholding_ratio": 0.995,
            "euler_at_final": False,
            "lambda_min_clipped": float("-inf"),
            "lower_order_final": True,
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "solver_order": 2,
            "solver_type": "midpoint",
            "steps_offset": 0,
            "thresholding": False,
            "timestep_spacing": "linspace",
            "trained_betas": None,
            "use_karras_sigmas": False,
            "variance_type": None,
        },
        None,
    ),
    "LCM-LoRA": (
        LCM,
        SCALED
        | {
            "clip_sample": False,
            "original_inference_steps": 50,
            "prediction_type": "epsilon",
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "timestep_scaling": 10.0,
            "timestep_spacing": "leading",
        },
        None,
    ),
    "DDPM small": (DDPM, {"variance_type": "fixed_small", "clip_sample": True}, None),
    "DDPM large": (DDPM, {"variance_type": "fixed_large", "clip_sample": True}, None),
}

EXACT = [
    (DDIM, LEADING | UNCLIPPED),
    (DDIM, {}),
    (DDIM, LEADING | X0 | {"clip_sample_range": 0.5, "steps_offset": 7}),
    (DDIM, LEADING | THRESHOLD | {"set_alpha_to_one": False}),
    (DDPM, THRESHOLD | {"variance_type": "fixed_small_log"}),
    (DDPM, {"beta_schedule": "sigmoid", "timestep_spacing": "linspace"}),
    (EULER, LEADING | V | LAST),
    (EULER, LEADING | KARRAS),
    (EULER, LEADING | KARRAS | ENDS),
    (ANCESTRAL, LEADING | V),
    (HEUN, LEADING | {"clip_sample": True, "clip_sample_range": 0.7}),
    (HEUN, LEADING | BETA),
    (LMS, LEADING),
    (KDPM2, LEADING | KARRAS),
    (KDPM2A, LEADING | KARRAS | ENDS),
    (MULTI, TRAILING | LAST | {"euler_at_final": True}),
    (MULTI, LINSPACE | LAST | {"lower_order_final": False}),
    (MULTI, COSINE | KARRAS | ENDS),
    (MULTI, LINSPACE | LU),
    (MULTI, LINSPACE | FLOWING),
    (MULTI, LINSPACE | dpm("dpmsolver++", 1, **THRESHOLD)),
    (MULTI, LINSPACE | dpm("dpmsolver++", 3, "heun")),
    (MULTI, LINSPACE | LAST | dpm("dpmsolver", 2, "heun", **THRESHOLD)),
    (MULTI, LINSPACE | dpm("sde-dpmsolver++", 1, **THRESHOLD)),
    (MULTI, LINSPACE | dpm("sde-dpmsolver++", 3)),
    (MULTI, LINSPACE | LAST | dpm("sde-dpmsolver", 2)),
    (UNIPC, LINSPACE),
    (UNIPC, TRAILING | LAST | {"solver_order": 3, "solver_type": "bh1"}),
    (UNIPC, LEADING | LAST | {"predict_x0": False} | THRESHOLD),
    (UNIPC, LINSPACE | LAST | {"disable_corrector": [0, 2], "lower_order_final": False}),
    (UNIPC, LINSPACE | KARRAS | ENDS | THRESHOLD),
    (DEIS, LINSPACE | {"solver_order": 3}),
    (SA, LINSPACE),
    (SA, LEADING | THRESHOLD | {"corrector_order": 3, "lower_order_final": False}),
    (LCM, V | THRESHOLD | {"original_inference_steps": 100, "timestep_scaling": 7.0}),
    (TCD, {"clip_sample": True}),
    (TCD, V | {"original_inference_steps": 25}),
    (FLOW, {}),
    (FLOW, {"shift": 3.0} | KARRAS),
    (FLOW, {"shift": 3.0, "stochastic_sampling": True}),
    (FLOW, {"shift": 2.0, "shift_terminal": 0.02} | EXPONENTIAL),
    (FLOW_HEUN, {"shift": 3.0}),
]
"""Configurations without a note, at every step count."""

BLOCKS = [
    (SINGLE, {}),
    (SINGLE, LINSPACE | dpm("dpmsolver++", 3, "heun") | KARRAS),
    (SINGLE, LINSPACE | LAST | dpm("dpmsolver", 2, lower_order_final=True)),
    (SINGLE, LINSPACE | dpm("sde-dpmsolver++", 2, **THRESHOLD)),
]
MORE_BLOCKS = [
    (SINGLE, LINSPACE | LAST | dpm("dpmsolver++", 3)),
    (SINGLE, LINSPACE | LAST | dpm("sde-dpmsolver++", 3, "heun")),
    (SINGLE, FLOWING),
    (SINGLE, SCALED | EXPONENTIAL | ENDS),
]
"""Likewise, at step counts that whole blocks fill."""

STARTED = [
    (EULER, SCALED),
    (EULER, TRAILING | LAST),
    (EULER, SCALED | LAST | KARRAS | {"sigma_min": 0.05}),
    (ANCESTRAL, SCALED),
    (HEUN, SCALED | EXPONENTIAL),
    (LMS, SCALED | BETA),
]
MORE_STARTED = [
    (EULER, SCALED | KARRAS),
    (HEUN, TRAILING),
    (KDPM2, SCALED),
    (KDPM2, TRAILING | KARRAS),
    (KDPM2A, TRAILING),
    (KDPM2A, SCALED | KARRAS),
]
"""Exact but for the start, which has a note."""

CURVES = (COSINE, LINSPACE, LEADING, TRAILING)
FORMULAS = (KARRAS, EXPONENTIAL, BETA)
MORE = [
    (DDIM, {"timestep_spacing": "leading", **ZERO_SNR, **V}),
    ("DDIMParallelScheduler", LEADING),
    ("DDPMParallelScheduler", COSINE),
    (PNDM, LEADING | {"skip_prk_steps": True, "set_alpha_to_one": True}),
    (EULER, LEADING | EXPONENTIAL | LAST),
    (LMS, LEADING | KARRAS | ENDS),
    (KDPM2, LEADING | V),
    (KDPM2A, LEADING),
    (MULTI, LEADING | V),
    (MULTI, LINSPACE | EXPONENTIAL | ENDS),
    (MULTI, LINSPACE | LAST | dpm("dpmsolver", 3)),
    (MULTI, LINSPACE | dpm("sde-dpmsolver++", 2)),
    (MULTI, LINSPACE | LAST | dpm("deis", 2, "logrho")),
    (DEIS, TRAILING | THRESHOLD | {"lower_order_final": False}),
    (SA, TRAILING | {"algorithm_type": "noise_prediction", "predictor_order": 3}),
    (LCM, ZERO_SNR | V | {"clip_sample": True}),
    (FLOW, {"shift": 2.0, "num_train_timesteps": 500} | BETA),
    (MULTI, LINSPACE | KARRAS),
    (DDPM, V | UNCLIPPED | ZERO_SNR),
    *product((DDIM,), (LEADING | V, LEADING | COSINE | X0, LEADING | V | ZERO_SNR)),
    *product((EULER, HEUN, LMS, KDPM2, KDPM2A), (LEADING | one for one in (*FORMULAS, COSINE))),
    *product((EULER, HEUN, LMS), (LEADING | X0, LEADING | X0 | KARRAS)),
    *product((MULTI, UNIPC, DEIS, SA), (curve | more for curve in CURVES for more in ({}, V, X0))),
    *product((MULTI, UNIPC), (LINSPACE | one | ends for one in FORMULAS for ends in ({}, ENDS))),
    *(
        (MULTI, LINSPACE | LAST | dpm(algorithm, order, kind))
        for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver")
        for order in (1, 2, 3)
        for kind in ("midpoint", "heun")
        if (algorithm, order) != ("sde-dpmsolver", 3)
    ),
    *(
        (UNIPC, TRAILING | LAST | {"solver_order": order, "solver_type": slope, "predict_x0": x0})
        for order, slope, x0 in product((1, 2, 3), ("bh1", "bh2"), (True, False))
    ),
    *(
        (SA, LINSPACE | {"predictor_order": p, "corrector_order": c, "algorithm_type": algorithm})
        for p, c in product((1, 2, 3), (1, 2, 3))
        for algorithm in ("data_prediction", "noise_prediction")
    ),
    *product((LCM, TCD), (X0, COSINE, {"beta_schedule": "linear"}, {"set_alpha_to_one": False})),
    *product((FLOW,), ({"shift": s} | one for s in (0.7, 5.0) for one in ({}, *FORMULAS))),
]
"""Further exact ones, which take longer."""


def name_of(case):
    """A short name of a class and a configuration."""
    class_name, config = case
    said = ",".join(f"{key}={value}" for key, value in config.items() if key not in SCALED)
    return f"{class_name.removesuffix('Scheduler')}-{said}"

"""What differs from diffusers says so, and what no table reproduces is refused by name."""

import diffusers
import pytest

from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder import configurations as c
from tests.export.diffusers_folder.samplers import Pair

CLIPPED = {"set_alpha_to_one": False, **c.UNCLIPPED}
NOTED = [
    (c.EULER, c.SCALED | c.LAST, 25, "last step would change nothing"),
    (c.DDIM, c.TRAILING | c.UNCLIPPED, 28, "misses the next visited time where the steps"),
    (c.DDIM, c.LINSPACE | c.UNCLIPPED, 25, "misses the next visited time, which"),
    (c.DDIM, c.SCALED | CLIPPED, 25, "last step would change nothing"),
    (c.DDPM, c.TRAILING | {"variance_type": "fixed_large"}, 25, "adds noise in its last step"),
    (c.DDPM, c.LEADING | {"variance_type": "fixed_large"}, 25, "adds noise in its last step"),
    (c.PNDM, c.LEADING, 8, "misses the middle"),
    (c.PNDM, c.LEADING | c.V | {"skip_prk_steps": True}, 25, "means of the network's v"),
    (c.PNDM, c.TRAILING | {"skip_prk_steps": True}, 28, "PNDM steps back by the same"),
    (c.MULTI, c.LINSPACE | c.LAST | c.KARRAS, 25, "last step would change nothing"),
    (c.MULTI, c.LINSPACE | {"lambda_min_clipped": -2.0}, 25, "lambda_min_clipped is not used"),
    (c.MULTI, c.TRAILING | c.V | c.ZERO_SNR, 25, "alpha^2 = 2^-24"),
    (c.DEIS, c.LINSPACE | c.BETA | c.ENDS, 25, "last step would change nothing"),
    (c.DEIS, c.FLOWING, 25, "last step would change nothing"),
    (c.UNIPC, c.FLOWING, 25, "starts at sigma = 1 - 1e-6"),
    (c.UNIPC, c.LINSPACE | c.LAST | c.KARRAS | c.ENDS, 12, "last step would change nothing"),
]


@pytest.mark.parametrize(("class_name", "config", "steps", "note"), NOTED)
def test_what_differs_says_so(class_name, config, steps, note):
    pair = Pair(class_name, config, steps)
    assert sum(note in found for found in pair.sampling.notes) == 1, pair.sampling.notes
    assert pair.error() > 1e-6


@pytest.mark.parametrize("option", [c.EXPONENTIAL, c.BETA])
@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_float32_decides_what_diffusers_tells_where_times_are_cut(name, option):
    config = c.LINSPACE | option
    found = read_scheduler(name, config)
    assert sum("float32" in note for note in found.notes) == 1
    grid = found.recommended.spacing.grid(found.training.schedule, 20)
    scheduler = getattr(diffusers, name).from_config(config)
    scheduler.set_timesteps(20)
    differing = grid.model_time[:-1] - scheduler.timesteps.numpy()
    assert set(differing) <= {0.0, 1.0}
    assert grid.model_time[0] == 999.0


@pytest.mark.parametrize("steps", [4, 10, 25])
@pytest.mark.parametrize("class_name", [c.DDIM, c.PNDM])
def test_trailing_times_are_exact_where_the_steps_divide_them(class_name, steps):
    config = c.TRAILING | {"skip_prk_steps": True, "set_alpha_to_one": True}
    assert Pair(class_name, config, steps).error() <= 1e-12


@pytest.mark.parametrize(
    ("class_name", "config", "reason"),
    [
        ("os.system", {}, "'os.system' is unknown; known are DDIMParallelScheduler"),
        ("SCMScheduler", {}, "beyond pure noise"),
        ("CMStochasticIterativeScheduler", {}, "boundary condition"),
        ("EDMEulerScheduler", {}, "EDM's scaling"),
        (c.DDIM, {"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        (c.MULTI, {"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        (c.ANCESTRAL, c.X0, "prediction_type 'sample'"),
        (c.PNDM, c.X0, "prediction_type 'sample'"),
        (c.KDPM2, c.X0, "prediction_type 'sample'"),
        (c.DDIM, {"beta_schedule": "sigmoid"}, "beta_schedule 'sigmoid'"),
        (c.HEUN, {"beta_schedule": "exp"}, "beta_schedule 'exp'"),
        (c.DDPM, {"beta_schedule": "laplace"}, "beta_schedule 'laplace'"),
        (c.DDPM, {"variance_type": "learned"}, "variance_type 'learned'"),
        (c.DDPM, {"variance_type": "fixed_large_log"}, "variance_type 'fixed_large_log'"),
        (c.EULER, {"timestep_spacing": "random"}, "timestep_spacing 'random'"),
        (c.EULER, {"final_sigmas_type": "one"}, "final_sigmas_type 'one'"),
        (c.EULER, c.KARRAS | c.BETA, "use_karras_sigmas and use_beta_sigmas exclude"),
        (c.EULER, c.KARRAS | c.ZERO_SNR | c.V | c.TRAILING, "must be finite"),
        (c.DDIM, c.ZERO_SNR | c.UNCLIPPED | c.TRAILING, "alpha = 0"),
        (c.DDIM, {"num_train_timesteps": 1}, "train_steps 1"),
        (c.DDIM, {"num_train_timesteps": 10**9}, "train_steps 1000000000"),
        (c.DDIM, {"num_train_timesteps": True}, "num_train_timesteps"),
        (c.DDIM, {"num_train_timesteps": 1000.5}, "num_train_timesteps"),
        (c.DDIM, {"beta_start": "0.1"}, "beta_start"),
        (c.DDIM, {"beta_start": 0.5, "beta_end": 0.1}, "must rise"),
        (c.DDIM, {"beta_end": 1.5}, "must rise"),
        (c.DDIM, {"steps_offset": -1}, "offset -1"),
        (c.DDIM, {"steps_offset": 900}, "smaller offset"),
        (c.DDIM, {"clip_sample": "no"}, "clip_sample"),
        (c.DDIM, {"clip_sample_range": -1.0}, "is empty"),
        (c.DDIM, {"thresholding": True, "sample_max_value": 0.5}, "maximum of at least 1"),
        (c.EULER, c.KARRAS | {"sigma_min": 200.0}, "200"),
        (c.EULER, c.KARRAS | {"sigma_min": "a"}, "sigma_min"),
        (c.MULTI, {"solver_order": 4}, "solver_order 4 is unknown; known are 1, 2, 3"),
        (c.MULTI, c.LAST | c.dpm("sde-dpmsolver", 3), "solver_order 3"),
        (c.MULTI, c.dpm("dpmsolver", 2), "algorithm_type = 'dpmsolver' does not work"),
        (c.MULTI, c.dpm("dpmsolver+++", 2), "algorithm_type 'dpmsolver+++'"),
        (c.MULTI, {"solver_type": "euler"}, "solver_type 'euler'"),
        (c.MULTI, c.FLOWING | c.LAST, "a flow does not have"),
        (c.MULTI, c.FLOWING | c.KARRAS, "use_karras_sigmas and use_flow_sigmas"),
        (c.SINGLE, c.LAST | c.dpm("sde-dpmsolver", 2), "algorithm_type 'sde-dpmsolver'"),
        (c.SINGLE, c.dpm("dpmsolver", 2), "algorithm_type = 'dpmsolver' does not work"),
        (c.SINGLE, {"solver_order": 4}, "size 4"),
        (c.UNIPC, {"solver_order": 4}, "order 4"),
        (c.UNIPC, {"predict_x0": False}, "predict_x0 = False does not work"),
        (c.UNIPC, {"lower_order_final": False}, "lower_order_final = False does not work"),
        (c.UNIPC, {"disable_corrector": [-1]}, "0 or more"),
        (c.UNIPC, {"disable_corrector": ["a"]}, "disable_corrector"),
        (c.DEIS, {"solver_order": 4}, "solver_order 4"),
        (c.DEIS, {"solver_type": "euler"}, "solver_type 'euler'"),
        (c.SA, c.KARRAS, "use_karras_sigmas makes"),
        (c.SA, c.FLOWING, "use_flow_sigmas makes"),
        (c.SA, {"algorithm_type": "noise_prediction", "thresholding": True}, "data_prediction"),
        (c.SA, {"predictor_order": 4}, "predictor 4"),
        (c.LCM, {"original_inference_steps": 0}, "at least 1"),
        (c.LCM, {"original_inference_steps": 2000}, "at most 1000"),
        (c.LCM, {"timestep_scaling": 0.0}, "above 0"),
        (c.FLOW, {"num_train_timesteps": 1}, "num_train_timesteps is 1"),
        (c.FLOW, {"shift": 0.0}, "flow shift 0.0"),
        (c.FLOW, {"shift_terminal": 1.5}, "between 0 and 1"),
        (c.FLOW, {"use_dynamic_shifting": True, "time_shift_type": "cubic"}, "time_shift_type"),
    ],
)
def test_what_cannot_be_is_refused(class_name, config, reason):
    with pytest.raises(ExportError) as caught:
        read_scheduler(class_name, config)
    message = str(caught.value)
    assert reason in message, message
    assert len(message) < 700


@pytest.mark.parametrize(
    ("class_name", "key", "value"),
    [
        (c.DDIM, "trained_betas", [0.1, 0.2]),
        (c.EULER, "interpolation_type", "log_linear"),
        (c.EULER, "timestep_type", "continuous"),
        (c.FLOW, "invert_sigmas", True),
        (c.MULTI, "use_dynamic_shifting", True),
        (c.UNIPC, "shift_terminal", 0.1),
        (c.UNIPC, "solver_p", {"name": "ddim"}),
        (c.SA, "tau_func", "lambda t: 1"),
    ],
)
def test_what_no_table_reproduces_is_refused_by_name(class_name, key, value):
    with pytest.raises(ExportError, match=f"{class_name} has {key} = ") as caught:
        read_scheduler(class_name, {key: value})
    assert "another scheduler configuration" in str(caught.value)


@pytest.mark.parametrize("class_name", ["CMStochasticIterativeScheduler", "IPNDMScheduler"])
def test_a_known_class_without_a_table_says_why(class_name):
    with pytest.raises(ExportError, match=f"{class_name} is no table of ours: it"):
        read_scheduler(class_name, {}, pipeline=Pipeline())

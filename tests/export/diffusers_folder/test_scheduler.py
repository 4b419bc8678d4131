"""The recommended sampler equals diffusers' scheduler in float64, or a note says where not."""

import pytest
from diffusers import PNDMScheduler

from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime.bundle.card import Training
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    ScaledLinear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    Heun,
)
from tests.export.diffusers_folder.samplers import Pair

DDIM_, DPM, PNDM = "DDIMScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"
EULER, ANCESTRAL = "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"
HEUN, FLOW = "HeunDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"
TOLERANCE = 1e-12
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LEADING = SCALED | {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = SCALED | {"timestep_spacing": "trailing"}
LAST, V = {"final_sigmas_type": "sigma_min"}, {"prediction_type": "v_prediction"}
START = "starts from sigma times the noise"

EXACT = [
    (DDIM_, LEADING | {"clip_sample": False}),
    (DDIM_, LEADING | V | {"clip_sample": False, "set_alpha_to_one": False}),
    (DDIM_, LEADING | {"clip_sample": False, "prediction_type": "sample", "steps_offset": 7}),
    (DDIM_, {"clip_sample": False}),
    (EULER, LEADING),
    (EULER, LEADING | V | LAST),
    (EULER, LEADING | {"beta_schedule": "squaredcos_cap_v2"}),
    (EULER, LEADING | {"use_karras_sigmas": True, "sigma_min": 0.03, "sigma_max": 14.0}),
    (ANCESTRAL, LEADING),
    (ANCESTRAL, LEADING | V),
    (HEUN, LEADING),
    (HEUN, {"timestep_spacing": "leading"}),
    (DPM, TRAILING),
    (DPM, TRAILING | V | {"beta_schedule": "squaredcos_cap_v2"}),
    (DPM, TRAILING | LAST),
    (DPM, TRAILING | LAST | {"lower_order_final": False}),
    (DPM, TRAILING | LAST | {"euler_at_final": True}),
    (DPM, TRAILING | {"solver_order": 1}),
    (DPM, {"timestep_spacing": "trailing", "num_train_timesteps": 500}),
    (FLOW, {}),
]
"""Configurations without a note: equal at every step count."""

EXACT_BUT_FOR_THE_START = [
    (EULER, TRAILING),
    (EULER, TRAILING | LAST),
    (EULER, SCALED | {"use_karras_sigmas": True}),
    (EULER, SCALED | {"use_karras_sigmas": True, "sigma_min": 0.05}),
    (EULER, SCALED | LAST | {"use_karras_sigmas": True, "sigma_min": 0.05}),
    (ANCESTRAL, TRAILING),
    (HEUN, TRAILING),
    (HEUN, SCALED | {"use_karras_sigmas": True}),
]


def named(config):
    return ",".join(f"{k}={v}" for k, v in config.items() if k not in SCALED or v != SCALED[k])


def parametrised(cases):
    return pytest.mark.parametrize(
        ("class_name", "config"), cases, ids=[f"{name}-{named(config)}" for name, config in cases]
    )


@parametrised(EXACT)
@pytest.mark.parametrize("steps", [10, 20, 25, 28])
def test_what_has_no_note_is_equal(class_name, config, steps):
    pair = Pair(class_name, config, steps)
    assert pair.sampling.notes == ()
    assert pair.error() <= TOLERANCE


@parametrised(EXACT)
def test_diffusers_starts_from_the_same_noise_there(class_name, config):
    pair = Pair(class_name, config, 20)
    gain = float(getattr(pair.scheduler(), "init_noise_sigma", 1.0))
    is_ve = "Euler" in class_name or "Heun" in class_name
    alpha = pair.grid.alpha[0] if is_ve and class_name != FLOW else 1.0
    if "use_karras_sigmas" in config:
        alpha = (1 + 14.0**2) ** -0.5
    assert gain * alpha == pytest.approx(pair.grid.noise_gain, abs=1e-6)


@parametrised(EXACT_BUT_FOR_THE_START)
@pytest.mark.parametrize("steps", [10, 20, 25])
def test_what_has_one_note_differs_in_the_start_alone(class_name, config, steps):
    pair = Pair(class_name, config, steps)
    (note,) = pair.sampling.notes
    assert START in note
    assert pair.error() <= TOLERANCE
    gain = float(pair.scheduler().init_noise_sigma) * pair.grid.alpha[0]
    assert gain == pytest.approx(pair.grid.sigma[0], abs=1e-6)
    assert 0.99 < gain < 1.0 - 1e-6


NOTED = [
    (EULER, SCALED, 25, "fractional times under linspace"),
    (ANCESTRAL, SCALED, 25, "fractional times under linspace"),
    (HEUN, SCALED, 25, "fractional times under linspace"),
    (EULER, SCALED | LAST, 28, "last step would change nothing"),
    (EULER, LEADING | {"use_karras_sigmas": True}, 25, "ends of Karras' levels"),
    (EULER, TRAILING | {"use_karras_sigmas": True, "sigma_max": 14.0}, 25, "ends of Karras'"),
    (HEUN, TRAILING | {"use_karras_sigmas": True}, 25, "ends of Karras' levels"),
    (DDIM_, TRAILING | {"clip_sample": False}, 28, "misses the next visited time"),
    (DDIM_, SCALED | {"timestep_spacing": "linspace", "clip_sample": False}, 25, "misses the next"),
    (DDIM_, SCALED | {"set_alpha_to_one": False, "clip_sample": False}, 25, "change nothing"),
    (DDIM_, LEADING | {"clip_sample": True, "clip_sample_range": 0.5}, 25, "(clip_sample)"),
    (DDIM_, LEADING | {"clip_sample": False, "thresholding": True}, 25, "(thresholding)"),
    (DPM, SCALED, 25, "divides linspace into one part more"),
    (DPM, LEADING, 25, "divides leading into one part more"),
    (DPM, SCALED | {"use_karras_sigmas": True}, 25, "whole times under Karras"),
    (
        DPM,
        {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"},
        25,
        "whole times under Karras",
    ),
    (DPM, TRAILING | {"thresholding": True}, 25, "(thresholding)"),
    (DPM, TRAILING | {"solver_order": 3}, 25, "solver_order 3 is replaced"),
    (DPM, TRAILING | {"solver_type": "heun"}, 25, "solver_type 'heun' is replaced"),
    (
        DPM,
        TRAILING | LAST | {"algorithm_type": "dpmsolver"},
        25,
        "algorithm_type 'dpmsolver' is replaced",
    ),
    (DPM, TRAILING | {"lambda_min_clipped": -1.0}, 25, "lambda_min_clipped is not used"),
    (PNDM, LEADING | {"skip_prk_steps": True}, 25, "replaced by DPM-Solver++(2M)"),
    (FLOW, {"shift": 3.0}, 25, "shifts the last of its flow times twice"),
]


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize(("class_name", "config", "steps", "note"), NOTED)
def test_what_differs_says_so(class_name, config, steps, note):
    pair = Pair(class_name, config, steps)
    assert any(note in found for found in pair.sampling.notes), pair.sampling.notes
    assert pair.error() > 1e-6


@parametrised([case for case in EXACT if case[0] != FLOW])
def test_every_recommended_sampler_compiles(class_name, config):
    advice = read_scheduler(class_name, config).recommended
    Pair(class_name, config, advice.steps).ours()


@pytest.mark.parametrize(
    ("class_name", "config", "solver", "spacing", "steps"),
    [
        (DDIM_, LEADING, DDIM(), Leading(1), 25),
        (DDIM_, LEADING | {"set_alpha_to_one": False}, DDIM(), Leading(1, Final.LAST), 25),
        (PNDM, LEADING, DPMpp2M(), Leading(1, Final.LAST), 25),
        (EULER, SCALED, Euler(), Linspace(), 28),
        (EULER, {"num_train_timesteps": 500}, Euler(), Linspace(), 25),
        (ANCESTRAL, TRAILING, EulerAncestral(), Trailing(), 25),
        (HEUN, SCALED | {"use_karras_sigmas": True}, Heun(), Karras(), 25),
        (DPM, TRAILING, DPMpp2M(), Trailing(), 25),
        (DPM, TRAILING | {"lower_order_final": False}, DPMpp2M(0), Trailing(), 25),
        (DPM, TRAILING | {"euler_at_final": True}, DPMpp2M(1001), Trailing(), 25),
        (DPM, {"num_train_timesteps": 20}, DPMpp2M(), Trailing(), 10),
        (EULER, {"num_train_timesteps": 3}, Euler(), Linspace(), 3),
        (FLOW, {"shift": 2.0}, FlowEuler(), Linspace(), 25),
    ],
)
def test_recommended(class_name, config, solver, spacing, steps):
    advice = read_scheduler(class_name, config).recommended
    assert (advice.solver, advice.spacing, advice.steps) == (solver, spacing, steps)
    assert advice.guidance == Unguided()
    assert read_scheduler(class_name, config, CFG(7.5)).recommended.guidance == CFG(7.5)


@pytest.mark.parametrize(
    ("config", "meaning", "schedule"),
    [
        ({}, "eps", Linear(1e-4, 0.02, 1000)),
        ({"prediction_type": "sample", **SCALED}, "x0", ScaledLinear(0.00085, 0.012, 1000)),
        (V | {"beta_schedule": "squaredcos_cap_v2"}, "v", Cosine(1000)),
        ({"beta_start": 0.001, "num_train_timesteps": 100}, "eps", Linear(0.001, 0.02, 100)),
    ],
)
def test_training(config, meaning, schedule):
    expected = Training(Parametrisation(meaning), schedule)
    assert read_scheduler(DDIM_, config).training == expected


def test_training_of_a_flow():
    expected = Training(Parametrisation.FLOW, Flow(3.0, 1000.0))
    assert read_scheduler(FLOW, {"shift": 3}).training == expected


@pytest.mark.parametrize(
    ("class_name", "config", "reason"),
    [
        ("LCMScheduler", {}, "'LCMScheduler' is unknown"),
        ("os.system", {}, "'os.system' is unknown"),
        (DDIM_, {"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        (DDIM_, {"beta_schedule": "sigmoid"}, "beta_schedule 'sigmoid'"),
        (HEUN, {"beta_schedule": "exp"}, "beta_schedule 'exp'"),
        (EULER, {"timestep_spacing": "random"}, "timestep_spacing 'random'"),
        (EULER, {"final_sigmas_type": "one"}, "final_sigmas_type 'one'"),
        (DDIM_, {"num_train_timesteps": 1}, "train_steps 1"),
        (DDIM_, {"num_train_timesteps": 10**9}, "train_steps 1000000000"),
        (DDIM_, {"num_train_timesteps": True}, "num_train_timesteps"),
        (DDIM_, {"num_train_timesteps": 1000.5}, "num_train_timesteps"),
        (DDIM_, {"beta_start": "0.1"}, "beta_start"),
        (DDIM_, {"beta_start": 0.5, "beta_end": 0.1}, "must rise"),
        (DDIM_, {"beta_end": 1.5}, "must rise"),
        (DDIM_, {"steps_offset": -1}, "offset -1"),
        (DDIM_, {"steps_offset": 900}, "smaller offset"),
        (DDIM_, {"clip_sample": "no"}, "clip_sample"),
        (EULER, {"use_karras_sigmas": True, "sigma_min": 200.0}, "200"),
        (EULER, {"use_karras_sigmas": True, "sigma_min": "a"}, "sigma_min"),
        (FLOW, {"num_train_timesteps": 100}, "flows are read with 1000"),
        (FLOW, {"shift": 0.0}, "flow shift 0.0"),
    ],
)
def test_what_cannot_be_is_refused(class_name, config, reason):
    with pytest.raises(ExportError) as caught:
        read_scheduler(class_name, config)
    message = str(caught.value)
    assert reason in message, message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("class_name", "key", "value"),
    [
        (DDIM_, "rescale_betas_zero_snr", True),
        (DDIM_, "trained_betas", [0.1, 0.2]),
        (EULER, "use_exponential_sigmas", True),
        (EULER, "use_beta_sigmas", True),
        (EULER, "interpolation_type", "log_linear"),
        (EULER, "timestep_type", "continuous"),
        (DPM, "use_lu_lambdas", True),
        (DPM, "use_flow_sigmas", True),
        (DPM, "variance_type", "learned_range"),
        (FLOW, "use_dynamic_shifting", True),
        (FLOW, "invert_sigmas", True),
        (FLOW, "shift_terminal", 0.02),
        (FLOW, "stochastic_sampling", True),
        (FLOW, "use_karras_sigmas", True),
    ],
)
def test_what_no_table_reproduces_is_refused_by_name(class_name, key, value):
    with pytest.raises(ExportError, match=f"{class_name} has {key} = ") as caught:
        read_scheduler(class_name, {key: value})
    assert "another scheduler configuration" in str(caught.value)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_times_of_a_replaced_solver(spacing):
    """PNDM rounds its times as we do, so the only note is that of the solver."""
    found = read_scheduler(PNDM, SCALED | {"timestep_spacing": spacing, "set_alpha_to_one": True})
    assert len(found.notes) == 1
    scheduler = PNDMScheduler(**SCALED, timestep_spacing=spacing, skip_prk_steps=True)
    scheduler.set_timesteps(20)
    grid = found.recommended.spacing.grid(found.training.schedule, 20)
    visited = sorted(set(scheduler.timesteps.tolist()), reverse=True)
    assert visited == grid.model_time[:-1].tolist()


def test_a_published_configuration():
    """That of the best known latent model: PNDM, with keys that belong to other classes."""
    config = SCALED | {
        "_class_name": PNDM,
        "_diffusers_version": "0.6.0",
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
        "clip_sample": False,
    }
    found = read_scheduler(PNDM, config, CFG(7.5))
    assert found.training == Training(Parametrisation.EPS, ScaledLinear())
    assert found.recommended.solver == DPMpp2M()
    assert len(found.notes) == 1

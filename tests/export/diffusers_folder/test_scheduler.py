"""A scheduler's configuration becomes the sampler that diffusers runs, or a note says where not."""

import numpy as np
import pytest

from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime.bundle.card import Training
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Distilled,
    DropLast,
    Even,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    ResolutionShifted,
    Rounded,
    Rounding,
    ScaledLinear,
    Stretched,
    Trailing,
    ZeroTerminalSNR,
)
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DDPM,
    LCM,
    PLMS,
    Bounded,
    DPMppBlocks,
    DPMSolver2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    Variance,
)
from denoisert.runtime.sampling.solvers.dpm import Ending, Form
from tests.export.diffusers_folder import configurations as c
from tests.export.diffusers_folder.samplers import Pair
from tests.oracles import float64
from tests.oracles.pair import LAYOUT, SHAPE, draws, tanh_network

STEPS = (4, 8, 20)
START = "starts from sigma times the noise"
TOKENS = "depends on the size of the picture"
CUT = "after rounding in float32"
ALLOWED = (START, TOKENS)


def parametrised(cases):
    return pytest.mark.parametrize(("class_name", "config"), cases, ids=map(c.name_of, cases))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("model", c.PUBLISHED)
def test_published_samplers(model, steps):
    pair = Pair(*c.PUBLISHED[model][:2], steps, c.PUBLISHED[model][2])
    assert all(any(words in note for words in ALLOWED) for note in pair.sampling.notes)
    assert pair.error() <= pair.tolerance


@pytest.mark.parametrize("steps", STEPS)
@parametrised(c.EXACT)
def test_what_has_no_note_is_equal(class_name, config, steps):
    pair = Pair(class_name, config, steps)
    is_cut = getattr(pair.sampling.recommended.spacing, "rounding", None) is Rounding.DOWN
    assert [CUT in note for note in pair.sampling.notes] == [True] * is_cut
    assert pair.error() <= pair.tolerance


@pytest.mark.parametrize("steps", [6, 12, 18])
@parametrised(c.BLOCKS)
def test_blocks_are_equal(class_name, config, steps):
    test_what_has_no_note_is_equal(class_name, config, steps)


@pytest.mark.parametrize("steps", STEPS)
@parametrised(c.STARTED)
def test_what_has_one_note_differs_in_the_start_alone(class_name, config, steps):
    pair = Pair(class_name, config, steps)
    (note,) = pair.sampling.notes
    assert START in note
    assert pair.error() <= pair.tolerance
    gain = float(pair.scheduler().init_noise_sigma) * pair.grid.alpha[0]
    assert gain == pytest.approx(pair.grid.sigma[0], abs=1e-6)
    assert 0.99 < gain < 1.0 - 1e-6


@parametrised([case for case in c.EXACT if "flow" not in str(case) and case[0] != c.FLOW])
def test_diffusers_starts_from_the_same_noise_there(class_name, config):
    pair = Pair(class_name, config, 20)
    is_ve = class_name in (c.EULER, c.ANCESTRAL, c.HEUN, c.LMS, c.KDPM2, c.KDPM2A)
    level = float(pair.scheduler().sigmas.max()) if is_ve else 0.0
    gain = float(getattr(pair.scheduler(), "init_noise_sigma", 1.0)) / np.hypot(1.0, level)
    assert gain == pytest.approx(pair.grid.noise_gain, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("steps", STEPS)
@parametrised(c.MORE)
def test_further_configurations_are_equal(class_name, config, steps):
    test_what_has_no_note_is_equal(class_name, config, steps)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [6, 12, 18])
@parametrised(c.MORE_BLOCKS)
def test_further_blocks_are_equal(class_name, config, steps):
    test_what_has_no_note_is_equal(class_name, config, steps)


@pytest.mark.slow
@pytest.mark.parametrize("steps", STEPS)
@parametrised(c.MORE_STARTED)
def test_further_starts_alone_differ(class_name, config, steps):
    test_what_has_one_note_differs_in_the_start_alone(class_name, config, steps)


def test_a_learned_variance_needs_the_networks_second_output():
    config = c.UNCLIPPED | {"variance_type": "learned_range"}
    with pytest.raises(ExportError, match="second output"):
        read_scheduler(c.DDPM, config)
    pair = Pair(c.DDPM, config, 10, Pipeline(ports=2))
    assert pair.sampling.recommended.solver == DDPM(Variance.LEARNED_RANGE)
    rng = np.random.default_rng(8)
    mean, spread, noise = tanh_network(rng), tanh_network(rng), draws(rng, 12)
    sampling = pair.sampling
    table = fold(sampling.recommended.solver.rows(pair.grid), Parametrisation.EPS, Unguided())
    found = execute(table, LAYOUT, lambda x, t, _: (mean(x, t), np.tanh(spread(x, t))), noise)
    both = float64.sample(
        pair.scheduler(),
        lambda x, t: np.concatenate([mean(x, t), np.tanh(spread(x, t))], axis=1),
        noise[0].reshape(SHAPE),
        generator=float64.Noises(noise[1:]),
    )
    np.testing.assert_allclose(found.latent, both.reshape(-1), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("class_name", "config", "solver", "spacing", "steps"),
    [
        (c.DDIM, c.LEADING, Bounded(DDIM(), Clip()), Leading(1), 25),
        (
            c.DDIM,
            c.LEADING | c.UNCLIPPED | {"set_alpha_to_one": False},
            DDIM(),
            Leading(1, Final.LAST),
            25,
        ),
        (c.PNDM, c.LEADING | {"skip_prk_steps": True}, PLMS(), Leading(1, Final.LAST), 25),
        (c.EULER, c.SCALED, Euler(), Even(), 25),
        (c.EULER, {"num_train_timesteps": 3}, Euler(), Even(), 2),
        (c.ANCESTRAL, c.TRAILING, EulerAncestral(), Trailing(), 25),
        (c.EULER, c.SCALED | c.KARRAS, Euler(), Karras(), 25),
        (
            c.MULTI,
            c.SCALED | c.KARRAS | c.LAST | {"sigma_min": 0.1} | c.dpm("dpmsolver", 2, "heun"),
            DPMSolver2M(lower_order_below=15, form=Form.HEUN, ending=Ending.FULL),
            Rounded(Karras(sigma_min=0.1, final=Final.LAST)),
            25,
        ),
        (c.SINGLE, {}, DPMppBlocks(2), DropLast(Linspace()), 24),
        (c.LCM, {"timestep_scaling": 9.0}, LCM(9.0), Distilled(50), 4),
        (c.FLOW, {}, FlowEuler(), Even(1.0, 0.001), 25),
    ],
)
def test_recommended(class_name, config, solver, spacing, steps):
    advice = read_scheduler(class_name, config).recommended
    assert (advice.solver, advice.spacing, advice.steps) == (solver, spacing, steps)
    assert advice.guidance == Unguided()
    assert read_scheduler(class_name, config, CFG(7.5)).recommended.guidance == CFG(7.5)


def test_dynamic_shifts_are_of_the_pipelines_tokens():
    config = {"use_dynamic_shifting": True, "max_shift": 0.9, "shift_terminal": 0.02}
    found = read_scheduler(c.FLOW, config, pipeline=Pipeline(tokens=1024))
    assert found.recommended.spacing == Stretched(
        ResolutionShifted(Even(1.0, 0.001), 1024, max_shift=0.9), 0.02
    )
    (note,) = found.notes
    assert "1024 tokens" in note
    assert Pair(c.FLOW, config, 9, Pipeline(tokens=1024)).error() <= 1e-12
    sized = read_scheduler(c.FLOW, config, pipeline=Pipeline(tokens=1024, edge=2))
    assert sized.recommended.spacing.spacing.edge == 2
    assert not sized.notes, "every size has its own"


@pytest.mark.parametrize(
    ("config", "meaning", "schedule"),
    [
        ({}, "eps", Linear(1e-4, 0.02, 1000)),
        (c.SCALED | c.X0, "x0", ScaledLinear(0.00085, 0.012, 1000)),
        (c.V | c.COSINE, "v", Cosine(1000)),
        ({"beta_start": 0.001, "num_train_timesteps": 100}, "eps", Linear(0.001, 0.02, 100)),
        (c.V | c.ZERO_SNR, "v", ZeroTerminalSNR(Linear())),
    ],
)
def test_training(config, meaning, schedule):
    expected = Training(Parametrisation(meaning), schedule)
    assert read_scheduler(c.DDIM, config).training == expected


@pytest.mark.parametrize(
    ("class_name", "config", "schedule"),
    [
        (c.FLOW, {"shift": 3}, Flow(3.0, 1000.0)),
        (c.FLOW, {"num_train_timesteps": 100}, Flow(1.0, 100.0)),
        (c.MULTI, c.FLOWING, Flow(3.0, 1000.0)),
    ],
)
def test_training_of_a_flow(class_name, config, schedule):
    found = read_scheduler(class_name, config).training
    assert found == Training(Parametrisation.FLOW, schedule)

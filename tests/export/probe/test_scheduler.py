"""diffusers' schedulers in float64, against the tables that the probe makes of them."""

import numpy as np
import pytest
import torch

from denoisert.export.probe import Start, probe_scheduler
from denoisert.export.probe.convention import Convention
from denoisert.runtime.errors import ExportError, ParityError
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation, estimates
from denoisert.runtime.sampling.schedules import Leading, Linear
from denoisert.runtime.sampling.solvers import DDIM
from tests.export.probe.cases import BOUNDED, CASES, FEW, UNCLIP, Case, Torch
from tests.oracles import float64
from tests.oracles.pair import (
    LAYOUT,
    SHAPE,
    TOLERANCE,
    assert_close,
    table_of,
    tanh_network,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.algorithm_types dpmsolver:FutureWarning"),
]
STEPS = 8
STAGES = 64


@pytest.fixture(autouse=True)
def _double():
    """Some of diffusers' constructors take torch's default, and the source in float64 does not."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def import_it(case, steps=STEPS, **config):
    return probe_scheduler(
        lambda: case.build(steps, **config), options=case.options(Torch()), start=case.start
    )


def compare(case, steps, seed, tolerance=TOLERANCE, **config):
    """A fresh network and fresh noise through diffusers' own loop, and through the table."""
    rng = np.random.default_rng(seed)
    network = tanh_network(rng)
    noise = [rng.standard_normal(LAYOUT.elements) for _ in range(2 * STAGES)]
    probed = import_it(case, steps, **config)
    scheduler = case.build(steps, **config)
    start = noise[0].reshape(SHAPE) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    gain = probed.meaning.gain
    expected = float64.sample(
        scheduler,
        lambda latent, time: gain * network(latent, time),
        start,
        **case.options(float64.Noises(noise[1:])),
    ).reshape(-1)
    table = fold(probed.rows(), probed.meaning.parametrisation, Unguided())
    drawn = noise if case.start is Start.NOISE else noise[1:]
    run = execute(
        table,
        LAYOUT,
        lambda latent, time, _: network(latent, time),
        drawn,
        {"source": noise[0]} if case.start is Start.SOURCE else None,
    )
    assert_close(run.latent, expected, tolerance)
    return probed


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_table_is_the_scheduler(case):
    probed = compare(case, STEPS, 1)
    assert probed.registers == case.registers
    assert probed.residual < 1e-12
    assert probed.error < 1e-10


@pytest.mark.parametrize("case", BOUNDED, ids=str)
def test_a_bounded_clean_estimate_becomes_an_operation(case):
    probed = compare(case, STEPS, 2)
    assert probed.registers == case.registers
    is_threshold = case.config.get("thresholding", False)
    assert isinstance(probed.pinned.bound, DynamicThreshold if is_threshold else Clip)


def test_a_bound_that_is_never_applied_is_none():
    """CogVideoX's DDIM has clip_sample in its configuration and no clipping in its step."""
    probed = import_it(Case("ddim_cogvideox", 1, {"prediction_type": "v_prediction"}))
    assert probed.pinned.bound is None


@pytest.mark.parametrize("is_used", [False, True])
def test_a_wide_bound_is_tried_where_it_is_at_work(is_used):
    """At +-300 nothing is clipped on small latents, and either choice would pass there."""
    config = {"clip_sample_range": 300.0}
    probed = import_it(Case("ddim", 1, config, {"use_clipped_model_output": is_used}))
    assert probed.pinned.bound == Clip(-300.0, 300.0, rederive=is_used)


def test_a_bound_of_another_kind_is_refused():
    """It scales its latents, too, where it clips."""
    case = Case("ddim", 1)

    def build():
        scheduler = case.build(STEPS)
        scheduler.register_to_config(clip_sample_range=1.0)
        inner = scheduler.step

        def step(output, time, x):
            return inner(output, time, 1.5 * x if scheduler.config.clip_sample else x)

        scheduler.step = step
        return scheduler

    with pytest.raises(ParityError, match=r"no operation of a table gives.*Switch its clipping"):
        probe_scheduler(build)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [5, 12, 20])
@pytest.mark.parametrize("case", [*CASES, *BOUNDED], ids=str)
def test_every_scheduler_at_other_step_counts(case, steps):
    ve = case.name in ("lms_discrete", "heun_discrete")
    compare(case, steps, steps, 1e-10 if ve else TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(
    "name",
    [
        "ddim",
        "ddpm",
        "euler_discrete",
        "heun_discrete",
        "deis_multistep",
        "dpmsolver_multistep",
        "dpmsolver_singlestep",
        "unipc_multistep",
        "sasolver",
    ],
)
def test_every_kind_of_output(name, kind):
    config = {"prediction_type": kind, **({"clip_sample": False} if name.startswith("dd") else {})}
    compare(Case(name, 0, config), 9, 5, 1e-11)


def test_unclip_steps_to_the_next_of_its_times():
    """Its step goes one training time back unless it is told where; its pipeline tells it."""
    probed = import_it(UNCLIP)
    rng = np.random.default_rng(3)
    network, noise = tanh_network(rng), [rng.standard_normal(LAYOUT.elements) for _ in range(9)]
    scheduler, x = UNCLIP.build(STEPS), torch.from_numpy(noise[0].reshape(SHAPE))
    draws = float64.Noises(noise[1:])
    for index, time in enumerate(scheduler.timesteps):
        following = scheduler.timesteps[index + 1] if index + 1 < STEPS else None
        output = torch.from_numpy(network(x.numpy(), float(time)))
        x = scheduler.step(output, time, x, prev_timestep=following, generator=draws).prev_sample
    table = fold(probed.rows(), Parametrisation.EPS, Unguided())
    run = execute(table, LAYOUT, lambda latent, time, _: network(latent, time), noise)
    assert_close(run.latent, x.numpy().reshape(-1))


def test_the_registers_at_every_boundary():
    order3 = import_it(Case("unipc_multistep", 4, {"solver_order": 3}), 10)
    assert order3.minimal == (1, 2, 3, 4, 4, 4, 4, 3, 2, 1, 1)
    heun = import_it(Case("heun_discrete", 2), 4)
    assert heun.minimal == (1, 2, 1, 2, 1, 2, 1, 1)
    assert (heun.stages, heun.steps, heun.evaluations_per_step) == (7, 4, 2)


def test_draws_are_counted_as_the_source_consumes_them():
    """Euler ancestral draws in its last step, too, with no gain; DDPM does not."""
    ancestral = import_it(Case("euler_ancestral_discrete", 1), 6)
    assert ancestral.pinned.draws.tolist() == [1] * 7
    draws = ancestral.pinned.basis.first_draw
    assert not ancestral.pinned.registers[-1, :, draws].any()
    assert import_it(Case("ddpm", 1, {"clip_sample": False}), 6).draws == 6


def test_a_history_of_outputs_is_renamed_and_not_copied():
    case = Case("deis_multistep", 3, {"solver_order": 3})
    probed = import_it(case, 10)
    middle = probed.pinned.registers[6]
    copies = [row for row in middle if np.count_nonzero(row) == 1 and row.max() == 1.0]
    assert len(copies) == 2  # E itself, and the last E


def test_rows_serve_any_parametrisation_and_guidance():
    """Probed with an eps network, folded for v: the same as our own solver folded for v."""
    config = {"timestep_spacing": "leading", "beta_schedule": "linear", "clip_sample": False}
    probed = import_it(Case("ddim", 1, {**config, "beta_start": 1e-4, "beta_end": 0.02}), 7)
    grid = Leading().grid(Linear(), 7)
    ours = fold(DDIM().rows(grid), Parametrisation.V, CFG(3.0))
    found = fold(probed.rows(), Parametrisation.V, CFG(3.0))
    np.testing.assert_allclose(found.model_time, ours.model_time)
    np.testing.assert_allclose(found.matrix, ours.matrix, atol=1e-12)


def test_points_are_where_the_scheduler_says():
    probed = import_it(Case("euler_discrete", 1), 6)
    sigmas = Case("euler_discrete", 1).build(6).sigmas.numpy()[:-1]
    levels = np.array([point.sigma / point.alpha for point in probed.points])
    np.testing.assert_allclose(levels, sigmas, rtol=1e-12)
    for point in probed.points:
        assert point.input_scale == 1.0
        assert point.alpha**2 + point.sigma**2 == pytest.approx(1.0, abs=1e-12)


def test_half_steps_of_kdpm2_have_their_own_points():
    probed = import_it(Case("k_dpm_2_discrete", 2, FEW), 5)
    levels = np.array([point.sigma_ve for point in probed.pinned.points])
    assert (np.diff(levels) < 0).all()
    middle, around = levels[1:-1:2], levels[::2]
    np.testing.assert_allclose(middle, np.sqrt(around[:-1] * around[1:]), rtol=1e-12)


def test_a_negative_velocity_is_found_out():
    """MiniMax's network points from noise to data; nothing in its configuration says so."""
    from diffusers.schedulers.scheduling_minimax_h3 import MiniMaxH3Scheduler

    def build():
        scheduler = MiniMaxH3Scheduler()
        scheduler.set_timesteps(6)
        return scheduler

    assert probe_scheduler(build).meaning == Convention(Parametrisation.FLOW, gain=-1.0)


def test_a_scheduler_that_does_not_say_where_it_is_asks_for_levels():
    case = Case("ipndm", 4)
    with pytest.raises(ExportError, match=r"(?s)IPNDMScheduler does not say.*`levels`"):
        import_it(case)

    def levels(scheduler, time):
        index = int((scheduler.timesteps == time).nonzero()[0])
        return float(scheduler.alphas[index]), float(scheduler.betas[index])

    probed = probe_scheduler(lambda: case.build(STEPS), levels=levels)
    assert probed.registers == 4
    assert np.isnan(probed.straying)  # it starts at alpha = 0 with eps


def test_what_a_scheduler_itself_raises_is_told():
    with pytest.raises(ExportError, match=r"the sampler itself raised TypeError.*eta_typo"):
        probe_scheduler(lambda: Case("ddim", 1).build(4), options={"eta_typo": 1})
    with pytest.raises(ExportError, match="could not be made: ValueError"):
        probe_scheduler(lambda: Case("ddim", 1).build(4, timestep_spacing="sideways"))


def test_users_own_subclass():
    """A subclass with its own step, imported as it is."""
    base = type(Case("euler_discrete", 1).build(4))

    class Damped(base):
        def step(self, model_output, timestep, sample, **options):
            return super().step(0.9 * model_output, timestep, sample, **options)

    def build(kind=Damped):
        scheduler = kind()
        scheduler.set_timesteps(6)
        return scheduler

    damped = probe_scheduler(build, convention=Convention(Parametrisation.EPS))
    plain = probe_scheduler(lambda: build(base))
    assert damped.name == "Damped"
    noise = damped.pinned.basis.noise.astype(bool)
    ratio = damped.pinned.registers[1:, 0, noise] / plain.pinned.registers[1:, 0, noise]
    np.testing.assert_allclose(ratio, 0.9, rtol=1e-9)


def test_grid_of_the_probe():
    probed = import_it(Case("dpmsolver_multistep", 2), 6)
    assert isinstance(probed.grid, Grid)
    assert probed.rows(probed.grid) is probed.pinned
    (_, _), (noise, _) = estimates(Parametrisation.EPS, *probed.points[0][:2])
    assert noise == 0.0
    assert table_of(probed, probed.grid, Parametrisation.EPS).stages == 6

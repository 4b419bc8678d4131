"""Repainting by replacement: diffusers' own loop in float64, and what must hold of every solver."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import from_dict, parse, to_dict
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.schedules import Flow, Leading, Linear, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DDPM,
    Bounded,
    DPMpp2M,
    DPMpp2MSDE,
    Euler,
    EulerAncestral,
    FlowEuler,
    Heun,
    Inpainted,
    Inverse,
    KnownNoise,
    NoiseReplay,
    UniPC,
    Variance,
)
from tests.oracles import float64
from tests.oracles.pair import (
    EPS,
    FLOW,
    LAYOUT,
    SCHEDULES,
    SHAPE,
    V,
    assert_close,
    tanh_network,
    tolerance_of,
    upstream,
)
from tests.runtime.sampling.roster import PATHS, path_of

STEPS = 8
MASK = np.tile([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0], 2)
ELEMENTS = LAYOUT.elements


def given(seed):
    """Source and draws of one run."""
    rng = np.random.default_rng([seed, 7])
    return rng.standard_normal(ELEMENTS), [rng.standard_normal(ELEMENTS) for _ in range(40)]


def buffers(source, mask=MASK):
    return {"source": source, "mask": mask, "kept": 1.0 - mask}


def run(rows, parametrisation, network, source, noise, *, mask=MASK, guidance=None):
    table = fold(rows, parametrisation, guidance or Unguided())
    found = execute(
        *(table, LAYOUT, lambda latent, time, *_: network(latent, time), noise),
        buffers(source, mask),
    )
    return found.latent


def pipeline(scheduler, network, latents, scale, *, strength=1.0, **step):
    """The loop of StableDiffusionInpaintPipeline on a network of 4 channels, guidance left out.

    latents: source and draws. scale: the scheduler's states are x / alpha with this alpha, or 1.
    """
    source, noise = latents
    count = len(scheduler.timesteps) // scheduler.order
    first = max(count - min(int(count * strength), count), 0) * scheduler.order
    times = scheduler.timesteps[first:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    clean, fixed, mask = (torch.from_numpy(v).reshape(SHAPE) for v in (source, noise[0], MASK))
    x = fixed / scale if strength == 1.0 else scheduler.add_noise(clean, fixed, times[:1])
    for index, time in enumerate(times):
        scaled = scheduler.scale_model_input(x, time)
        output = torch.from_numpy(network(scaled.numpy(), float(time)))
        with float64.double_defaults():
            x = scheduler.step(output, time, x, **step).prev_sample
        known = clean
        if index < len(times) - 1:
            known = scheduler.add_noise(clean, fixed, torch.tensor([times[index + 1]]))
        x = (1 - mask) * known + mask * x
    return x.numpy().reshape(-1)


CASES = [
    (DDIM(), "ddim", False, {"clip_sample": False}, {}),
    (Euler(), "euler_discrete", True, {}, {}),
    (Heun(), "heun_discrete", True, {}, {}),
    (EulerAncestral(), "euler_ancestral_discrete", True, {}, {"generator": True}),
    (DPMpp2M(), "dpmsolver_multistep", False, {"final_sigmas_type": "zero"}, {}),
    (UniPC(), "unipc_multistep", False, {"final_sigmas_type": "zero"}, {}),
]


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize(
    ("solver", "name", "is_ve", "config", "step"), CASES, ids=[repr(case[0]) for case in CASES]
)
def test_diffusers_pipeline(solver, name, is_ve, config, step, strength):
    """Fixed noise, the solver's own between, the clean picture at the end; also from half way."""
    spacing = {"timestep_spacing": "trailing"}
    scheduler = upstream(name, 10, **SCHEDULES[Linear()], **spacing, **config)
    network, (source, noise) = tanh_network(np.random.default_rng(4)), given(4)
    grid = Trailing().grid(Linear(), 10)
    told = {"generator": float64.Noises(noise[1:])} if step else {}
    scale = grid.alpha[0] if is_ve else 1.0
    want = pipeline(scheduler, network, (source, noise), scale, strength=strength, **told)
    mine = grid if strength == 1.0 else grid.tail(strength)
    found = run(Inpainted(solver).rows(mine), EPS, network, source, noise)
    assert_close(found, want, tolerance_of(solver, mine))
    np.testing.assert_array_equal(found[MASK == 0], source[MASK == 0])


def literal(grid, rows, network, source, noise, step):
    """The replacement after each step of `step(now, after, x, D, E)`, with a draw of its own."""
    x, drawn = grid.noise_gain * noise[0], 1
    for index in range(grid.steps):
        now, after = grid[index], grid[index + 1]
        eps = network(x, now.model_time)
        clean = (x - now.sigma * eps) / now.alpha
        x, used = step(now, after, clean, eps, noise[drawn:])
        drawn += used
        known = source
        if index < grid.steps - 1:
            known = after.alpha * source + after.sigma * noise[drawn]
            drawn += 1
        x = MASK * x + (1 - MASK) * known
    assert drawn == int(rows.draws.sum())
    return x


def ddim_step(now, after, clean, eps, noise):
    return after.alpha * clean + after.sigma * eps, 0


def noisy_step(now, after, clean, eps, noise):
    """DDIM with eta = 1, which draws in every step but the last."""
    ratio = (now.alpha / after.alpha) ** 2
    gain = after.sigma / now.sigma * np.sqrt(1 - ratio)
    x = after.alpha * clean + np.sqrt(after.sigma**2 - gain**2) * eps
    return (x + gain * noise[0], 1) if gain else (x, 0)


@pytest.mark.parametrize(("eta", "step"), [(0.0, ddim_step), (1.0, noisy_step)])
def test_fresh_noise_is_drawn_after_the_solver_s_own(eta, step):
    grid = Leading(1).grid(Linear(), STEPS)
    network, (source, noise) = tanh_network(np.random.default_rng(5)), given(5)
    rows = Inpainted(DDIM(eta), KnownNoise.FRESH).rows(grid)
    want = literal(grid, rows, network, source, noise, step)
    assert_close(run(rows, EPS, network, source, noise), want)
    fixed = run(Inpainted(DDIM(eta)).rows(grid), EPS, network, source, noise)
    assert np.abs(fixed - want).max() > 0.01


def takers():
    """Every solver that can be repainted with."""
    found = {}
    for name, kind in SOLVERS.items():
        try:
            path = path_of(kind())
            schedule, spacing, _ = PATHS[path]
            Inpainted(kind()).rows(spacing.grid(schedule, STEPS))
        except InvalidInput:
            continue
        found[name] = path
    return found


TAKERS = takers()


def test_almost_every_solver_can():
    refused = {"inpainted", "noise_replay", "inverse", "dpm_v3", "residual_bridge"}
    assert set(SOLVERS) - set(TAKERS) == {*refused, "two_sided_interpolant"}


@pytest.mark.parametrize("noise", KnownNoise)
@pytest.mark.parametrize("name", TAKERS)
def test_every_solver_keeps_what_is_kept_and_paints_the_rest(name, noise):
    """All painted is the solver itself, all kept the source, and the border lies where it should.

    What is kept leads the network along the source, so what is painted changes, too.
    """
    schedule, spacing, parametrisation = PATHS[TAKERS[name]]
    grid, solver = spacing.grid(schedule, STEPS), SOLVERS[name]()
    network, (source, draws) = tanh_network(np.random.default_rng(6)), given(6)
    rows = Inpainted(solver, noise).rows(grid)
    told = (parametrisation, network, source, draws)
    one, none = np.ones(ELEMENTS), np.zeros(ELEMENTS)
    np.testing.assert_array_equal(run(rows, *told, mask=none), source)
    painted = run(rows, *told, mask=one)
    half = run(rows, *told)
    np.testing.assert_array_equal(half[MASK == 0], source[MASK == 0])
    assert np.abs(half - painted)[MASK == 1].max() > 1e-6
    if noise is KnownNoise.FIXED:
        assert_close(painted, run(solver.rows(grid), *told))


def test_guidance_and_a_bound_go_on_acting():
    """D is bounded before the step, the picture comes back after it, outside the bound or not."""
    grid = Trailing().grid(Linear(), STEPS)
    network, (source, noise) = tanh_network(np.random.default_rng(8)), given(8)
    inside = run(Inpainted(Bounded(DDIM(), Clip())).rows(grid), V, network, source, noise)
    outside = run(Bounded(Inpainted(DDIM()), Clip()).rows(grid), V, network, source, noise)
    free = run(Inpainted(DDIM()).rows(grid), V, network, source, noise)
    np.testing.assert_array_equal(inside, outside)
    assert np.abs(inside[MASK == 1]).max() <= 1.0 < np.abs(free[MASK == 1]).max()
    np.testing.assert_array_equal(inside[MASK == 0], source[MASK == 0])
    table = fold(Inpainted(DPMpp2M()).rows(grid), V, CFG(2.0, rescale=0.7))
    assert max(map(len, table.products)) <= 6  # branches are one column, G


def test_a_soft_mask_mixes():
    grid = Trailing().grid(Flow(), STEPS)
    network, (source, noise) = tanh_network(np.random.default_rng(9)), given(9)
    half = np.full(ELEMENTS, 0.5)
    found = run(Inpainted(FlowEuler()).rows(grid), FLOW, network, source, noise, mask=half)
    x = noise[0]
    for index in range(STEPS):
        now, after = grid[index], grid[index + 1]
        x = x + (after.sigma - now.sigma) * network(x, now.model_time)
        x = 0.5 * x + 0.5 * (after.alpha * source + after.sigma * noise[0])
    assert_close(found, x)


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        (NoiseReplay(), "starts from none"),
        (Inverse(DDIM()), "starts from none"),
        (DDPM(Variance.LEARNED_RANGE), "multiplies within its own step"),
    ],
    ids=repr,
)
def test_solvers_that_cannot(solver, words):
    with pytest.raises(InvalidInput, match=words):
        Inpainted(solver).rows(Leading(1).grid(Linear(), STEPS))


def test_a_run_from_a_latent_that_is_noised_already():
    grid = replace(Trailing().grid(Linear(), STEPS), noise_gain=0.0, source_gain=1.0)
    with pytest.raises(InvalidInput, match="starts from none"):
        Inpainted(DDIM()).rows(grid)


def test_a_solver_that_draws_all_there_is_leaves_none_to_be_fresh():
    grid = Trailing().grid(Linear(), STEPS)
    rows = DPMpp2MSDE().rows(grid)
    assert int(rows.draws.max()) == 1
    full = replace(rows, draws=np.full_like(rows.draws, 2))

    class Full(DPMpp2MSDE):
        def rows(self, grid):
            return full

    with pytest.raises(InvalidInput, match=r"Use KnownNoise\.FIXED"):
        Inpainted(Full(), KnownNoise.FRESH).rows(grid)
    assert Inpainted(Full()).rows(grid).basis.count == rows.basis.count + 1


def test_it_wraps_once_and_has_a_name():
    with pytest.raises(InvalidInput, match="inpainted already"):
        Inpainted(Inpainted(DDIM()))
    solver = Inpainted(DPMpp2M(), KnownNoise.FRESH)
    assert from_dict(to_dict(solver), SOLVERS) == solver
    assert parse(SOLVERS, "inpainted(solver=dpmpp_2m, noise=fresh)") == solver
    assert (solver.order, solver.evaluations_per_step) == (2, 1)

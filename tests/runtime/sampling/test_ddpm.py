"""DDPM: fixed and learned variances, the posterior, limits."""

import numpy as np
import pytest
import torch

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import parse
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import Gaussian, between_levels, execute, weak_errors
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    EDM,
    Cosine,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Linspace,
    Respaced,
    Trailing,
)
from denoisert.runtime.sampling.solvers import DDIM, DDPM, Bounded, Variance
from tests.oracles import float64
from tests.oracles.pair import LAYOUT, SCHEDULES, SHAPE, assert_close, draws, tanh_network, upstream
from tests.runtime.sampling.multistep_trials import (
    ENDED,
    NOISE,
    STEPS,
    VP,
    assert_alike,
    assert_invariant,
    registers,
    sample,
)
from tests.runtime.sampling.trials import DATA

EPS, V, FLOW = Parametrisation.EPS, Parametrisation.V, Parametrisation.FLOW
LEARNED, RANGE = Variance.LEARNED, Variance.LEARNED_RANGE
FIXED = (DDPM(), DDPM(gamma=1.0), DDPM(gamma=0.4))
GAUSSIAN = Gaussian(0.7, 0.25)


def two_ports(seed):
    """A network of an estimate and a variance in about [-1, 1], of latent and time."""
    rng = np.random.default_rng(seed)
    first, second = tanh_network(rng), tanh_network(rng)
    return lambda latent, time: (first(latent, time), np.tanh(second(latent, time)))


def ours(solver, grid, network, noise, parametrisation=EPS, guidance=None):
    table = fold(solver.rows(grid), parametrisation, guidance or Unguided())
    return execute(table, LAYOUT, lambda x, time, condition: network(x, time), noise)


def posterior(schedule, times):
    """guided-diffusion's numbers of a respaced process, (betas, log of both variances, ...)."""
    kept = np.cumprod(1.0 - schedule.betas())[times]
    last = np.append(1.0, kept[:-1])
    betas = 1.0 - kept / last
    variance = betas * (1.0 - last) / (1.0 - kept)
    return {
        "kept": kept,
        "beta": betas,
        "variance": variance,
        "of_x0": betas * np.sqrt(last) / (1.0 - kept),
        "of_x": (1.0 - last) * np.sqrt(1.0 - betas) / (1.0 - kept),
    }


def p_sample_loop(schedule, times, network, noise, kind, clip=None):
    """guided-diffusion's p_sample_loop in float64, `times` rising."""
    numbers, x, fresh = posterior(schedule, times), noise[0], iter(noise[1:])
    for index in reversed(range(len(times))):
        at = {name: values[index] for name, values in numbers.items()}
        eps, values = network(x, float(times[index]))
        if kind is RANGE:
            frac = (values + 1.0) / 2.0
            with np.errstate(divide="ignore"):
                log = frac * np.log(at["beta"]) + (1.0 - frac) * np.log(at["variance"])
        else:
            log = values
        x0 = x / np.sqrt(at["kept"]) - np.sqrt(1.0 / at["kept"] - 1.0) * eps
        x0 = x0 if clip is None else np.clip(x0, -clip, clip)
        mean = at["of_x0"] * x0 + at["of_x"] * x
        x = mean if index == 0 else mean + np.exp(0.5 * log) * next(fresh)
    return x


@pytest.mark.parametrize("clip", [None, 0.8])
@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=str)
@pytest.mark.parametrize("kind", [RANGE, LEARNED], ids=str)
def test_learned_variance_is_guided_diffusions(kind, schedule, clip):
    network, noise = two_ports(4), draws(np.random.default_rng(5), 12)
    grid = Linspace().grid(schedule, 12)
    times = grid.model_time[:-1].astype(int)[::-1]
    solver = DDPM(kind) if clip is None else Bounded(DDPM(kind), Clip(-clip, clip))
    found = ours(solver, grid, network, noise)
    assert_close(found.latent, p_sample_loop(schedule, times, network, noise, kind, clip))
    assert found.evaluations == 12


def test_respacing_is_what_the_grid_does():
    """Betas of a respaced process are those of the points that are kept."""
    network, noise = two_ports(6), draws(np.random.default_rng(7), 25)
    grid = Respaced((10, 10, 5)).grid(Linear(), 25)
    times = grid.model_time[:-1].astype(int)[::-1]
    found = ours(DDPM(RANGE), grid, network, noise).latent
    assert_close(found, p_sample_loop(Linear(), times, network, noise, RANGE))


def stacked(scheduler, network, noise, **step):
    """diffusers' loop with a network of twice the channels."""

    def both(latent, time):
        return np.concatenate(network(latent, time), axis=1)

    generator = float64.Noises(noise[1:])
    return float64.sample(scheduler, both, noise[0].reshape(SHAPE), generator=generator, **step)


@pytest.mark.parametrize("clip", [False, True])
def test_learned_range_is_diffusers(clip):
    network, noise = two_ports(8), draws(np.random.default_rng(9), 10)
    scheduler = upstream(
        "ddpm", 10, variance_type="learned_range", clip_sample=clip, **SCHEDULES[Linear()]
    )
    solver = Bounded(DDPM(RANGE), Clip()) if clip else DDPM(RANGE)
    found = ours(solver, Leading().grid(Linear(), 10), network, noise).latent
    assert_close(found, stacked(scheduler, network, noise).reshape(-1))


def test_learned_range_is_unclips():
    """Its pipeline tells every step where the next one is."""
    network, noise = two_ports(10), draws(np.random.default_rng(11), 12)
    scheduler = upstream("unclip", 12, variance_type="learned_range", clip_sample=False)
    x, generator = torch.from_numpy(noise[0].reshape(SHAPE)), float64.Noises(noise[1:])
    times = [*scheduler.timesteps.tolist(), None]
    for index, t in enumerate(times[:-1]):
        answer = torch.from_numpy(np.concatenate(network(x.numpy(), float(t)), axis=1))
        told = {"prev_timestep": times[index + 1], "generator": generator}
        x = scheduler.step(answer, t, x, **told).prev_sample
    found = ours(DDPM(RANGE), Linspace().grid(Cosine(), 12), network, noise).latent
    assert_close(found, x.numpy().reshape(-1))


@pytest.mark.parametrize(("level", "gamma"), [(-1.0, 0.0), (1.0, 1.0), (0.2, 0.6)])
def test_a_constant_second_port_is_a_fixed_variance(level, gamma):
    """W = 2 gamma - 1: -1 is small, 1 is large."""
    network, noise = two_ports(12), draws(np.random.default_rng(13), 9)
    constant = lambda x, time: (network(x, time)[0], np.full_like(x, level))  # noqa: E731
    for grid in (VP, ENDED):
        learned = ours(DDPM(RANGE), grid, constant, noise).latent
        plain = ours(DDPM(gamma=gamma), grid, constant, noise).latent
        assert_alike(learned, plain)


def test_learned_variance_costs_no_evaluation_and_takes_the_first_condition():
    grid = Leading().grid(Linear(), 6)
    table = fold(DDPM(RANGE).rows(grid), EPS, CFG(3.0))
    assert table.draws.tolist() == [1] * 6 + [0]
    network, noise = two_ports(14), draws(np.random.default_rng(15), 6)

    def answer(x, time, condition):
        eps, values = network(x, time)
        return eps * (1.0 + condition), values if condition == 0 else np.full_like(x, np.nan)

    run = execute(table, LAYOUT, answer, noise)
    assert run.evaluations == 12
    guided = lambda x, time: (-network(x, time)[0], network(x, time)[1])  # noqa: E731
    assert_close(run.latent, ours(DDPM(RANGE), grid, guided, noise).latent)


@pytest.mark.parametrize("grid", [VP, Karras(7.0, 0.02, 30.0, Final.SPACED).grid(Flow(), 6)])
def test_mean_and_variances_are_those_of_the_forward_process(grid):
    """x_s given x_t and x0, from the joint Gaussian of the path, on a flow as well."""
    for gamma in (0.0, 1.0, 0.3):
        rows = DDPM(gamma=gamma).rows(grid)
        basis = rows.basis
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            keep = now.alpha / after.alpha
            large = now.sigma**2 - keep**2 * after.sigma**2
            small = after.sigma**2 * large / now.sigma**2
            row = rows.registers[step + 1, 0]
            of_x = keep * after.sigma**2 / now.sigma**2
            np.testing.assert_allclose(row @ basis.registers[0], of_x, rtol=1e-12)
            of_x0 = after.alpha * large / now.sigma**2
            np.testing.assert_allclose(row @ basis.denoised, of_x0, rtol=1e-10)
            std = np.sqrt(small ** (1.0 - gamma) * large**gamma)
            np.testing.assert_allclose(row @ basis.draws[0], std, rtol=1e-10)


def test_small_variance_is_ddim_with_full_noise():
    for grid in (VP, ENDED):
        assert_alike(sample(DDPM(), grid), sample(DDIM(1.0), grid))
        clipped = [Bounded(one, Clip(-0.4, 0.4)) for one in (DDPM(), DDIM(1.0))]
        assert np.abs(sample(clipped[0], grid) - sample(clipped[1], grid)).max() > 1e-3
        rederived = [Bounded(one, Clip(-0.4, 0.4, True)) for one in (DDPM(), DDIM(1.0))]
        assert_alike(sample(rederived[0], grid), sample(rederived[1], grid))
        assert_alike(sample(clipped[0], grid), sample(rederived[0], grid), 0.0)


@pytest.mark.parametrize("path", [Linear(), EDM(0.01, 80.0)], ids=str)
@pytest.mark.parametrize("solver", FIXED, ids=str)
def test_weak_order(solver, path):
    found = weak_errors(solver, between_levels(path, 10.0, 0.1), GAUSSIAN, STEPS)
    np.testing.assert_allclose(found.slopes, solver.order, atol=0.25)


@pytest.mark.parametrize("solver", [*FIXED, DDPM(RANGE), DDPM(LEARNED)], ids=str)
def test_evaluations_registers_and_ends(solver):
    assert registers(solver) == 1
    for steps in (1, 2, 3, 7):
        for grid, last in (
            (Trailing(Final.LAST).grid(Linear(), steps), 1),
            (Trailing().grid(Linear(), steps), 0),
            (Trailing().grid(Flow(shift=2.0), steps), 0),
        ):
            rows = solver.rows(grid)
            assert (rows.stages, rows.steps[-1]) == (steps, steps)
            assert rows.draws.tolist() == [1] * steps + [last]
            assert np.isfinite(fold(rows, FLOW, Unguided()).matrix).all()
    one = Trailing().grid(Flow(), 1)
    if solver.variance is Variance.FIXED:
        expected = DATA.estimates(NOISE, 0.0, 1.0)[0]
        np.testing.assert_allclose(sample(solver, one, FLOW), expected, rtol=1e-13)


@pytest.mark.parametrize("solver", FIXED, ids=str)
def test_every_parametrisation_gives_the_same_sample(solver):
    assert_invariant(solver)


def test_values_outside_their_range_are_refused_and_names_are_read():
    for gamma in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="gamma"):
            DDPM(gamma=gamma)
    assert parse(SOLVERS, "ddpm(variance='learned_range')") == DDPM(RANGE)
    assert parse(SOLVERS, "bounded(solver=ddpm(gamma=1))") == Bounded(DDPM(gamma=1.0))

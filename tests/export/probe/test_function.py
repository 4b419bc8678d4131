"""Sampling functions in k-diffusion's convention, run directly and through their tables."""

import numpy as np
import pytest
import torch

from denoisert.export.probe import probe_function
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Karras, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import DPMpp2M, Euler, EulerAncestral, Heun
from tests.export.probe import samplers
from tests.oracles.pair import LAYOUT, SHAPE, assert_close, tanh_network

SIGMAS = [14.6, 9.0, 5.0, 2.5, 1.2, 0.5, 0.2, 0.05, 0.0]
DETERMINISTIC = {
    "euler": (samplers.euler, {}, 1, 8),
    "heun": (samplers.heun, {}, 2, 15),
    "dpmpp_2m": (samplers.dpmpp_2m, {}, 2, 8),
    "adams_2": (samplers.Adams(2), {}, 2, 8),
    "adams_4": (samplers.Adams(4), {}, 4, 8),
}
STOCHASTIC = {
    "churn": (samplers.euler, {"churn": 0.3}, 1, 9),
    "ancestral": (samplers.euler_ancestral, {}, 1, 9),
    "dpmpp_sde": (samplers.dpmpp_sde, {}, 2, 15),
    "cycle": (samplers.cycle, {}, 2, 9),
}


def directly(sample, options, network, noise, monkeypatch):
    """The function's own run in float64 on given noise; it may not see the probe at all."""
    left = [torch.from_numpy(draw.reshape(SHAPE)) for draw in noise]

    def draw(*_, **__):
        return left.pop(0)

    def model(x, sigma, **_):
        level = float(torch.as_tensor(sigma).reshape(-1)[0])
        return torch.from_numpy(network(x.numpy(), level))

    monkeypatch.setattr(torch, "randn_like", draw)
    given = dict(options)
    if sample in (samplers.euler,):
        given |= {"extra_args": {}, "callback": lambda _: None}
    if sample is samplers.heun:
        given["callback"] = lambda _: None
    if sample is samplers.dpmpp_sde:
        given["noise_sampler"] = draw
    sigmas = torch.tensor(SIGMAS, dtype=torch.float64)
    return sample(model, draw() * sigmas[0], sigmas, **given).numpy().reshape(-1)


def through_table(probed, network, noise):
    table = fold(probed.rows(), Parametrisation.X0, Unguided())
    return execute(table, LAYOUT, lambda latent, time, _: network(latent, time), noise).latent


@pytest.mark.parametrize(
    ("sample", "options", "registers", "count"),
    [*DETERMINISTIC.values(), *STOCHASTIC.values()],
    ids=[*DETERMINISTIC, *STOCHASTIC],
)
def test_the_table_is_the_function(sample, options, registers, count, monkeypatch):
    rng = np.random.default_rng(count)
    network = tanh_network(rng)
    noise = [rng.standard_normal(LAYOUT.elements) for _ in range(20)]
    probed = probe_function(sample, SIGMAS, options=options)
    expected = directly(sample, options, network, noise, monkeypatch)
    assert_close(through_table(probed, network, noise), expected)
    assert probed.registers == registers
    assert count in (probed.stages, probed.draws)
    assert not probed.is_merged


def test_in_the_coordinates_of_a_schedule_it_is_our_own_solver():
    """k-diffusion's x is x / alpha; ours is what the network takes. The tables must agree."""
    schedule = ScaledLinear()
    grid = Karras().grid(schedule, 8)
    levels = [*(point.sigma_ve for point in map(grid.__getitem__, range(8))), 0.0]
    rng = np.random.default_rng(4)
    network, noise = tanh_network(rng), [rng.standard_normal(LAYOUT.elements) for _ in range(20)]
    pairs = {
        samplers.euler: Euler(),
        samplers.euler_ancestral: EulerAncestral(),
        samplers.heun: Heun(),
        samplers.dpmpp_2m: DPMpp2M(),
    }
    for sample, solver in pairs.items():
        probed = probe_function(sample, levels, schedule=schedule)
        begin = probed.pinned.registers[0, 0, probed.pinned.basis.first_draw]
        assert begin == pytest.approx(grid.sigma[0], rel=1e-12)
        ours = [noise[0] * begin / grid.noise_gain, *noise[1:]]
        for guidance in (Unguided(), CFG(2.5)):
            found, expected = (
                execute(
                    fold(rows, Parametrisation.V, guidance), LAYOUT, conditioned(network), draws
                )
                for rows, draws in ((probed.rows(), noise), (solver.rows(grid), ours))
            )
            assert_close(found.latent, expected.latent, 1e-10)


def conditioned(network):
    return lambda latent, time, branch: network(latent, time + 100 * branch)


def test_points_and_times_come_from_the_schedule():
    schedule = ScaledLinear()
    probed = probe_function(samplers.dpmpp_2m, SIGMAS, schedule=schedule)
    level = np.array(SIGMAS[:-1])
    alpha, sigma = schedule.coordinates(level)
    times = schedule.told(schedule.model_time(level))
    np.testing.assert_allclose(
        [point[:3] for point in probed.points], np.stack([alpha, sigma, times], 1)
    )
    plain = probe_function(samplers.dpmpp_2m, SIGMAS)
    assert plain.points[0][:3] == (1.0, 14.6, 14.6)


def test_steps_end_where_the_function_calls_back():
    heun = probe_function(samplers.heun, SIGMAS)
    assert heun.pinned.steps.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8]
    silent = probe_function(samplers.dpmpp_sde, SIGMAS)
    assert silent.steps == 8
    assert (np.diff(silent.pinned.steps) >= 0).all()


def test_draws_stay_in_the_order_of_the_source():
    ancestral = probe_function(samplers.euler_ancestral, SIGMAS)
    assert ancestral.pinned.draws.tolist() == [1] * 9  # the last one has no gain
    churn = probe_function(samplers.euler, SIGMAS, options={"churn": 0.3})
    assert churn.pinned.draws.tolist() == [2, *[1] * 7, 0]


def test_more_draws_than_columns_are_merged_to_the_same_law():
    probed = probe_function(samplers.three_draws, SIGMAS)
    assert probed.is_merged
    assert probed.registers == 1
    rows = probed.pinned
    gains = rows.registers[1:, 0, rows.basis.first_draw : rows.basis.first_external]
    np.testing.assert_allclose((gains**2).sum(axis=1), np.square(SIGMAS[1:]), rtol=1e-12)
    assert rows.draws[1:].tolist() == [1] * 7 + [0]


def test_three_independent_draws_in_a_row_are_refused_with_their_number():
    with pytest.raises(InvalidTable, match=r"a row has 3 draws, 3 of them independent"):
        probe_function(samplers.remembered_draws, SIGMAS)


def test_a_function_of_any_name_and_an_object():
    assert probe_function(samplers.Adams(2), SIGMAS).name == "Adams"
    assert repr(probe_function(samplers.heun, SIGMAS)) == (
        "Probed(heun, steps=8, stages=15, registers=2, draws=1)"
    )


def test_its_grid_is_accepted_and_another_refused():
    schedule = ScaledLinear()
    probed = probe_function(samplers.dpmpp_2m, SIGMAS, schedule=schedule)
    assert probed.rows(probed.grid) is probed.pinned
    other = Trailing().grid(schedule, 8)
    with pytest.raises(ValueError, match=r"dpmpp_2m was probed on another schedule: step 0"):
        probed.rows(other)
    with pytest.raises(ValueError, match=r"probed at 8 steps, the grid has 9"):
        probed.rows(Trailing().grid(schedule, 9))

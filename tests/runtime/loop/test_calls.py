"""The calls of a tick: what they cover, what they pad, when they are bound again."""

import numpy as np
import pytest

from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.spies import alone, finish, pool_of, spied, work

GUIDED = flow_table(steps=8, guidance=CFG(2.0))


@pytest.mark.parametrize(
    ("batch", "works", "lanes", "padding"),
    [(None, 0, 0, 0), (None, 3, 6, 0), (4, 3, 6, 2), (4, 2, 4, 0), (3, 4, 8, 1), (1, 2, 4, 0)],
)
def test_lanes_and_padding_of_a_tick(batch, works, lanes, padding, tmp_path):
    pool = pool_of(perceptron(batch=batch).denoiser(tmp_path), slots=4)
    for seed in range(works):
        pool.submit(work(GUIDED, seed=seed))
    tick(pool)
    assert (pool.lanes, pool.lanes_padded) == (lanes, padding)


def test_padding_of_a_graph_with_one_time_follows_the_times(tmp_path):
    """Two pictures at the same time share a call of 4 lanes, later each has its own."""
    pool = pool_of(perceptron(time=TimeShape.SCALAR, batch=4).denoiser(tmp_path), slots=2)
    for steps in (2, 3):
        pool.submit(work(flow_table(steps=steps, guidance=CFG(2.0), shift=1.0)))
    found = []
    while not pool.is_idle:
        tick(pool)
        found.append((pool.lanes, pool.lanes_padded))
    assert found == [(4, 0), (4, 4), (2, 2)]


def test_figures_of_several_calls_are_summed(tmp_path):
    pool = pool_of(perceptron(batch=16).denoiser(tmp_path), slots=12)
    for seed in range(10):
        pool.submit(work(GUIDED, seed=seed))
    tick(pool)
    assert (pool.lanes, pool.lanes_padded) == (20, 12)


def test_an_idle_tick_has_no_lanes(denoiser):
    pool = pool_of(denoiser, slots=2)
    pool.submit(work(flow_table(steps=1)))
    tick(pool)
    assert (pool.lanes, pool.lanes_padded) == (1, 0)
    tick(pool)
    assert (pool.lanes, pool.lanes_padded) == (0, 0)


def test_calls_are_bound_to_the_new_buffers_after_growth(denoiser):
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=2)
    each = work(GUIDED, seed=5)
    number = pool.submit(each)
    tick(pool)
    pool.submit(work(wide_table(6), (1, 2)))
    finish(pool)
    current = pool.memory.buffers(0, 0, 4)["latent"].ctypes.data
    # two lanes, four after growth, and the same two lanes again: not the call of the old buffers
    assert [bucket for bucket, _ in spy.binds] == [2, 4, 2]
    assert [address == current for _, address in spy.binds] == [False, True, True]
    assert np.array_equal(pool.take(number).latent, alone(denoiser, each).latent)
    for _ in range(3):  # from now on everything is bound
        pool.submit(each)
        finish(pool)
    assert len(spy.binds) == 3


def test_parking_and_coming_back_binds_nothing_twice(denoiser):
    watched, spy = spied(denoiser)
    pool = pool_of(watched, slots=2)
    for seed in range(2):
        pool.submit(work(flow_table(steps=20), seed=seed))
    tick(pool)
    for _ in range(6):
        pool.submit(work(flow_table(steps=1), priority=1))
        tick(pool)
        tick(pool)
    assert pool.parked == 6
    assert spy.binds == [(2, spy.binds[0][1])]
    assert np.all(np.array(spy.runs) == 2)

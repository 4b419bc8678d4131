"""What a steady tick leaves out: uploads, passes that no row asks for, other keys."""

import numpy as np
import pytest

from denoisert.kernels.step.record import FORMS
from denoisert.runtime.loop.graphs import Eager
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.solvers import DDIM, Heun
from tests.runtime.devices.torch_places import torch_pool, torch_spied
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.spies import finish, work

# Its branch for the uncond condition, and with it the rule, is there in stages 3 and 4 only.
SOME = flow_table(steps=5, guidance=CFG(3.0, interval=(0.5, 3.0), rescale=0.5), shift=1.0)


class Recorder(Eager):
    """Launches every round, and keeps its key."""

    def __init__(self):
        self.keys = []

    def run(self, key, launch):
        self.keys.append(key)
        super().run(key, launch)


@pytest.fixture
def watched(denoiser, kernel_device):
    """A pool of three slots and the shapes of what it uploads, in order."""
    pool, shapes = torch_pool(denoiser, kernel_device, slots=3), []
    stage = pool.memory._stage
    upload = stage.upload
    stage.upload = lambda values: shapes.append(np.shape(values)) or upload(values)
    return pool, shapes


def recorded(pool):
    pool.memory._rounds = Recorder()
    return pool.memory._rounds.keys


def test_a_steady_tick_uploads_nothing(watched):
    """Noise, rules, thresholds and times are found on the device."""
    pool, shapes = watched
    pool.submit(work(flow_table(DDIM(eta=1.0), 6, CFG(2.0, rescale=0.5)), seed=1))
    pool.submit(work(flow_table(Heun(), 6, None, DynamicThreshold(0.9, 3.0)), seed=2))
    counts = []
    for _ in range(4):
        shapes.clear()
        tick(pool)
        counts.append(len(shapes))
    assert counts[0] > 0
    assert counts[1:] == [0, 0, 0]


def test_addresses_go_up_when_the_map_changes_and_only_then(watched):
    pool, shapes = watched
    pool.submit(work(SOME))
    pool.submit(work(flow_table(steps=4), seed=2))
    mapped = []
    while not pool.is_idle:
        shapes.clear()
        tick(pool)
        mapped.append(pool.memory._space.lanes.shape in shapes)
    # two lanes, then three, then (the other work has gone) one
    assert mapped == [True, False, True, False, True]


def test_passes_run_when_a_row_asks(denoiser, kernel_device):
    pool = torch_pool(denoiser, kernel_device, slots=2)
    keys = recorded(pool)
    pool.submit(work(SOME))
    pool.submit(work(flow_table(steps=3, operation=DynamicThreshold(0.9, 3.0)), seed=2))
    finish(pool)
    assert [tuple(key.passes) for key in keys] == [
        (False, True, False),
        (False, True, False),
        (True, True, False),
        (True, False, False),
        (False, False, False),
    ]


def test_one_key_serves_solvers_steps_scales_and_seeds(denoiser, kernel_device):
    pool = torch_pool(denoiser, kernel_device, slots=2)
    keys = recorded(pool)
    for solver, steps, scale in ((Heun(), 2, 2.0), (DDIM(eta=0.5), 2, 5.0), (Heun(), 1, 0.5)):
        pool.submit(work(flow_table(solver, steps, CFG(scale)), seed=steps))
        pool.submit(work(flow_table(solver, steps, CFG(scale)), (3, 4), seed=2**63))
        finish(pool)
    assert len(keys) > 4
    assert len(set(keys)) == 1


def test_lanes_spaces_and_moved_buffers_are_other_keys(denoiser, kernel_device):
    pool = torch_pool(denoiser, kernel_device, slots=2)
    keys = recorded(pool)
    pool.submit(work(flow_table(steps=1)))
    finish(pool)
    pool.submit(work(flow_table(steps=1, guidance=CFG(2.0))))
    finish(pool)
    pool.submit(work(wide_table(8, 1)))
    finish(pool)
    pool.submit(work(flow_table(steps=1)))
    finish(pool)
    one, two, grown, again = keys
    assert len(set(keys)) == 4
    assert one.form == two.form != grown.form == again.form
    assert set(one.calls).isdisjoint(again.calls)


def test_calls_are_bound_once_for_a_place(denoiser, kernel_device):
    spied, spy = torch_spied(denoiser)
    pool = torch_pool(spied, kernel_device, slots=2)
    for _ in range(2):
        pool.submit(work(SOME))
        finish(pool)
    assert [bucket for bucket, _ in spy.binds] == [1, 2]


def test_warming_runs_the_passes_of_the_space(denoiser, kernel_device):
    """So that no kernel is compiled in the middle of a work; the smallest has no quantiles."""
    pool = torch_pool(denoiser, kernel_device, slots=1)
    passes, wanted = pool.memory._passes, []
    passes.run = lambda space, which: wanted.append(which)
    pool.warm()
    pool.memory.grow(FORMS[1])
    pool.warm()
    assert wanted == [(True, False, False), (True, True, False)]

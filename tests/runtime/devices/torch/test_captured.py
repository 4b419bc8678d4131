"""On a GPU: captured ticks have the bits of eager ones, in one launch, without new memory."""

import threading
from collections import Counter

import numpy as np
import pytest
import torch

from denoisert.kernels.step.record import FORMS
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.solvers import DDIM, Heun
from tests.runtime.devices.torch.pointwise import SMALL
from tests.runtime.devices.torch_places import (
    apart,
    assert_same,
    torch_alone,
    torch_pool,
    torch_spied,
)
from tests.runtime.networks import convolution, perceptron
from tests.runtime.samplers import flow_table, random_work, wide_table
from tests.runtime.spies import alone, error, finish, work

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA device"),
]
CUDA = "cuda"
LAUNCHES = {"cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx"}


@pytest.fixture(scope="module", params=["matrices", "convolutions"])
def any_denoiser(request, placed):
    """What a convolution answers comes from torch's allocator: in a graph, from its pool."""
    make = perceptron if request.param == "matrices" else convolution
    return placed(make(seed=3, layout=SMALL), CUDA)


def counts(pool):
    return {name.removeprefix("graphs_"): n for name, n in pool.memory.counts().items()}


def mixture(denoiser, most_graphs, ticks=30):
    """Random works that join and leave three slots; outcomes by number, and the pool."""
    rng = np.random.default_rng(4)
    pool = torch_pool(denoiser, CUDA, slots=3, most_graphs=most_graphs)
    for _ in range(ticks):
        if rng.random() < 0.4:
            pool.submit(random_work(rng)[0])
        tick(pool)
    finish(pool)
    return pool.outcomes, pool


@pytest.mark.parametrize("most_graphs", [32, 1])
def test_captured_equals_eager_bit_for_bit(any_denoiser, most_graphs):
    """Also when one graph is kept, so that every change of lanes drops one and captures anew."""
    eager, _ = mixture(any_denoiser, 0)
    captured, pool = mixture(any_denoiser, most_graphs)
    assert counts(pool)["replayed"] > 0
    assert len(captured) == len(eager) > 5
    for number, wanted in eager.items():
        assert_same(captured[number], wanted)


def steady_pool(denoiser, slots=2, steps=400):
    """Works that go on for long: noise, a rule and a quantile in every row."""
    pool = torch_pool(denoiser, CUDA, slots=slots)
    ruled = flow_table(DDIM(eta=1.0), steps, CFG(2.0, rescale=0.5))
    cut = flow_table(DDIM(eta=1.0), steps, CFG(2.0), DynamicThreshold(0.9, 3.0))
    for index in range(slots):
        pool.submit(work((ruled, cut)[index % 2], (index, 1), seed=index))
    return pool


def test_misses_stop_once_the_keys_are_known(any_denoiser):
    pool = steady_pool(any_denoiser)
    for _ in range(20):
        tick(pool)
    assert counts(pool) == {"captured": 1, "missed": 1, "replayed": 19, "dropped": 0}
    pool.clear()
    for seed in range(2):  # another solver, other steps and scales, the same lanes and passes
        pool.submit(work(flow_table(Heun(), 3, CFG(5.0)), seed=seed))
    finish(pool)
    again = counts(pool)
    for seed in range(2):
        pool.submit(work(flow_table(DDIM(), 4, CFG(1.5)), (3, 4), seed=2**63 + seed))
    finish(pool)
    assert counts(pool)["missed"] == again["missed"]


def test_a_warm_pool_misses_nothing(any_denoiser):
    """Works without rules and quantiles; those are captured when they come first."""
    pool = torch_pool(any_denoiser, CUDA, slots=2)
    pool.warm()
    for seed, steps in enumerate((3, 5, 2)):
        pool.submit(work(flow_table(Heun(), steps, CFG(2.0)), seed=seed))
    finish(pool)
    assert [outcome.error for outcome in pool.outcomes.values()] == [None] * 3
    assert counts(pool)["missed"] == 0


def test_a_hundred_replays_take_no_memory(any_denoiser):
    """Of the device: neither bytes that stay nor allocations that come and go."""
    pool = steady_pool(any_denoiser)
    for _ in range(10):
        tick(pool)
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()
    for _ in range(100):
        tick(pool)
    torch.cuda.synchronize()
    after = torch.cuda.memory_stats()
    for name in ("allocated_bytes.all.current", "reserved_bytes.all.current"):
        assert after[name] == before[name]
    assert after["allocation.all.allocated"] == before["allocation.all.allocated"]


def test_dropped_graphs_give_their_memory_back(any_denoiser):
    """Pools that come and go, each with graphs and a stream of its own, as cuBLAS has for it."""
    held = []
    for _ in range(6):
        pool = steady_pool(any_denoiser, steps=5)
        finish(pool)
        pool.close()
        del pool
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved())
    assert held[-1] <= held[1]


def test_a_tick_is_one_launch(any_denoiser):
    pool = steady_pool(any_denoiser)
    for _ in range(10):
        tick(pool)
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(5):
            tick(pool)
        torch.cuda.synchronize()
    names = Counter(event.name for event in profile.events())
    assert names["cudaGraphLaunch"] == 5
    assert not LAUNCHES & set(names)
    assert names["cudaStreamSynchronize"] == 0


def test_everything_is_captured_again_after_growth(placed, steady_toy):
    """The old graphs go with the buffers that they were made for, in flight as they may be."""
    denoiser = placed(steady_toy, CUDA)
    pool = torch_pool(denoiser, CUDA, slots=3)
    first = work(flow_table(DDIM(eta=1.0), 12, CFG(2.0)), (3, 4), seed=1)
    numbers = {pool.submit(first): first}
    for _ in range(4):
        tick(pool)
    assert counts(pool)["replayed"] > 0
    forms = [pool.memory.form]
    for registers in (3, 8):
        late = work(wide_table(registers, 4, taps=2), (1, 2), seed=registers)
        numbers[pool.submit(late)] = late
        for _ in range(3):
            tick(pool)
        forms.append(pool.memory.form)
    finish(pool)
    assert tuple(forms) == FORMS
    found = counts(pool)
    assert found["dropped"] >= 2
    assert found["captured"] == found["missed"]
    for number, each in numbers.items():
        assert_same(pool.take(number), torch_alone(denoiser, each, CUDA))


class Neighbour(threading.Thread):
    """Allocates, copies, computes and waits on a stream of its own until it is told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.rounds, self.error = threading.Event(), 0, None

    def run(self):
        try:
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                while not self.over.is_set():
                    there = torch.randn(64, 64).pin_memory().to(CUDA, non_blocking=True)
                    (there @ there).sum().item()
                    self.rounds += 1
        except RuntimeError as caught:
            self.error = caught

    def stop(self):
        self.over.set()
        self.join(60)


def test_others_use_the_device_during_captures(any_denoiser):
    """A codec on a stream of its own: neither its work nor the capture fails."""
    eager, _ = mixture(any_denoiser, 0)
    neighbour = Neighbour()
    neighbour.start()
    try:
        captured, pool = mixture(any_denoiser, 1)
    finally:
        neighbour.stop()
    assert neighbour.error is None
    assert neighbour.rounds > 0
    assert counts(pool)["captured"] > 3
    for number, wanted in eager.items():
        assert_same(captured[number], wanted)


def test_two_loops_capture_at_the_same_time(placed):
    """Two pools, each in a thread and on a stream of its own, on engines of their own."""
    toys = [perceptron(seed=seed, layout=SMALL) for seed in (20, 21)]
    denoisers = [placed(toy, CUDA) for toy in toys]
    wanted = [mixture(denoiser, 0)[0] for denoiser in denoisers]
    found = [None, None]

    def run(index):
        found[index] = mixture(denoisers[index], 1)[0]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for mine, other in zip(found, wanted, strict=True):
        assert mine is not None
        for number, outcome in other.items():
            assert_same(mine[number], outcome)


def test_engines_are_bound_on_the_stream_of_their_pool(any_denoiser):
    """What binding allocates is freed and used again in the order of that stream."""
    spied, spy = torch_spied(any_denoiser)
    pool = torch_pool(spied, CUDA, slots=1)
    bind, streams = spy.bind, []

    def watched(bucket, buffers):
        streams.append(torch.cuda.current_stream())
        return bind(bucket, buffers)

    spy.bind = watched
    pool.submit(work(flow_table(steps=2)))
    finish(pool)
    assert streams == [pool.memory._stage.stream]
    assert torch.cuda.current_stream() != streams[0]


def test_the_host_is_ahead_of_the_device(any_denoiser):
    """A tick in the middle of works does not wait for itself, only for the one before."""
    pool = steady_pool(any_denoiser)
    for _ in range(5):
        tick(pool)
    stage = pool.memory._stage
    busy = torch.empty(8192, 8192, device=CUDA)
    with stage.active():
        for _ in range(20):
            torch.mm(busy, busy)
    tick(pool)
    assert not stage.stream.query()
    tick(pool)


@pytest.mark.parametrize("seed", range(3))
def test_random_works_are_those_of_the_cpu(placed, toy, seed):
    rng = np.random.default_rng(seed)
    pool = torch_pool(placed(toy, CUDA), CUDA, slots=4)
    asked = {pool.submit(each): each for each in (random_work(rng)[0] for _ in range(24))}
    finish(pool)
    for number, each in asked.items():
        wanted = alone(placed(toy, "cpu"), each).latent
        assert error(pool.take(number).latent, wanted) <= apart(each.table)

"""The loops that we compare with: same network, same schedulers, same pictures as ours."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.case import Setting, Size
from bench.gpu.room import Chosen
from bench.loop import bench_dit, bench_few, bench_sd15, bench_sdxl, case, ours, schedulers
from bench.loop.baselines import Sampling, compiled, fresh, sample
from bench.loop.case import loop_cases
from bench.loop.job import Job
from bench.loop.loaded import Loaded, Shelf
from bench.loop.network import network
from bench.loop.ours import Loop
from bench.loop.places import INTERPRETED, OURS, Place, Places
from bench.loop.provider import Providers
from bench.loop.ratio import tick_to_forward
from bench.loop.shapes.dit import TINY_DIT
from bench.loop.shapes.files import inputs, saved
from bench.loop.shapes.unet import TINY_SD15, TINY_SDXL
from bench.run import here
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.errors import NonFinite
from denoisert.runtime.loop.slot import Outcome
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, Euler
from tests.bench.fake_card import fake_card
from tests.bench.test_loop_shapes import answer, draw

PAIRS = [(DDIM(), schedulers.DDIM), (Euler(), schedulers.Euler), (DPMpp2M(), schedulers.DPMpp2M)]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(autouse=True)
def one_thread():
    with case._measuring():
        yield


@pytest.mark.parametrize("shape", [TINY_SD15, TINY_SDXL, TINY_DIT], ids=lambda shape: shape.name)
def test_torch_network_is_the_graph(shape, shelf):
    files, feed = saved(shape, shelf), draw(shape, 2)
    wanted = answer(OrtEngine(files.graph, files.root, threads=1), feed)
    call = network(files, "cpu", torch.float32)
    with torch.inference_mode():
        found = call(**{name: torch.from_numpy(value) for name, value in feed.items()}).numpy()
    # DESIGN.md, section 8: engine equals eager at 1e-4; measured 1e-6.
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_torch_network_joins_products_and_gates(shelf):
    graph = network(saved(TINY_SD15, shelf), "cpu", torch.float32).graph
    called = [node.target for node in graph.nodes if node.op == "call_function"]
    assert torch.sigmoid not in called
    assert torch.nn.functional.silu in called


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_network_takes_float32_times_in_a_short_dtype(dtype, shelf):
    files, feed = saved(TINY_DIT, shelf), draw(TINY_DIT, 2)
    tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
    exact = network(files, "cpu", torch.float32)(**tensors)
    short = network(files, "cpu", dtype)(**{**tensors, "latent": tensors["latent"].to(dtype)})
    assert short.dtype == dtype
    assert float((short.float() - exact).abs().max() / exact.abs().max()) < 0.03


@pytest.mark.parametrize(("solver", "scheduler"), PAIRS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_our_pool_makes_the_pictures_of_the_eager_loop(solver, scheduler, guidance, shelf):
    job = Job(TINY_DIT, solver, scheduler, 5, guidance, 2)
    loaded = Loaded(saved(job.shape, shelf), "cpu", "float32")
    loop = Loop(job, loaded.places.place(OURS))
    found, wanted = loop.run(), Providers(job, loaded).truth()
    again = loop.run()
    loop.close()
    np.testing.assert_array_equal(found, again)
    assert wanted.std() > 0.1
    assert len(wanted) == 1
    assert np.abs(found[:1] - wanted).max() / np.abs(wanted).max() < 2e-5


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_torch_device_makes_them_too(guidance, shelf):
    job = Job(TINY_DIT, DPMpp2M(), schedulers.DPMpp2M, 3, guidance, 2)
    places = Places(saved(job.shape, shelf), "cpu", "float32")
    assert places.names == (OURS, INTERPRETED), "tests interpret kernels"
    found = []
    for name in places.names:
        loop = Loop(job, places.place(name))
        found.append(loop.run())
        loop.close()
    places.close()
    assert np.abs(found[0] - found[1]).max() / np.abs(found[0]).max() < 2e-5


def test_a_run_is_the_same_when_its_middle_is_measured(shelf):
    job = Job(TINY_DIT, DDIM(), schedulers.DDIM, 6, 3.0, 1)
    places = Places(saved(job.shape, shelf), "cpu", "float32")
    loop = Loop(job, places.place(OURS))
    wanted = loop.run()
    found = tick_to_forward(loop, "cpu", 1)
    assert found["tick_to_forward"] == pytest.approx(
        found["tick_ms"] / found["forward_ms"], rel=0.1
    )
    with loop.middle() as middle:
        assert middle.left == 4
        same = middle.calls
        for _ in range(middle.left):
            middle.tick()
        assert not loop._pool.is_idle
    assert loop._pool.is_idle
    assert list(loop.calls()) == list(same), "the binding of a tick is the one that is measured"
    np.testing.assert_array_equal(loop.run(), wanted)
    loop.close()
    places.close()


def test_jobs_of_a_shape_share_its_networks(shelf):
    setting = Setting(Size.TINY, here(), Path(), shelf=shelf)
    shared = Shelf("cpu")
    first = shared.loaded(TINY_DIT, setting)
    assert shared.loaded(TINY_DIT, setting) is first
    assert shared.loaded(TINY_SD15, setting) is not first


@pytest.mark.parametrize("name", ["DDIM", "Euler", "EulerAncestral", "DPMpp2M"])
def test_scheduler_steps_like_diffusers(name):
    diffusers = pytest.importorskip("diffusers")
    theirs = {
        "DDIM": diffusers.DDIMScheduler,
        "Euler": diffusers.EulerDiscreteScheduler,
        "EulerAncestral": diffusers.EulerAncestralDiscreteScheduler,
        "DPMpp2M": diffusers.DPMSolverMultistepScheduler,
    }[name](
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
        **({"clip_sample": False} if name == "DDIM" else {}),
    )
    theirs.set_timesteps(5)
    mine = getattr(schedulers, name)(5, "cpu")
    torch.testing.assert_close(mine.timesteps.float(), theirs.timesteps.float())
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    found = wanted = mine.start(x)
    for mine_time, time in zip(mine.timesteps, theirs.timesteps, strict=True):
        torch.testing.assert_close(mine.scaled(found), theirs.scale_model_input(wanted, time))
        torch.manual_seed(int(time))
        found = mine.step(torch.tanh(found), mine_time, found)
        torch.manual_seed(int(time))
        wanted = theirs.step(torch.tanh(wanted), time, wanted).prev_sample
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_loop_doubles_only_when_guided():
    lanes = []

    def call(latent, time):
        lanes.append((len(latent), time.shape, time.dtype))
        return torch.zeros_like(latent)

    for guidance in (1.0, 2.0):
        sampling = Sampling(schedulers.DDIM, 2, guidance, {})
        noise = fresh((3, 4, 2, 2), "cpu", torch.float32)
        assert sample(call, sampling, noise).shape == noise.shape
    assert lanes == [(3, (3,), torch.float32)] * 2 + [(6, (6,), torch.float32)] * 2


def test_compiled_network_is_one_graph(shelf):
    files = saved(TINY_DIT, shelf)
    call = compiled(network(files, "cpu", torch.float32), None, "eager")
    feed = {name: torch.from_numpy(value) for name, value in draw(TINY_DIT, 2).items()}
    with torch.inference_mode():
        wanted = network(files, "cpu", torch.float32)(**feed)
        torch.testing.assert_close(call(**feed), wanted)
    torch.compiler.reset()


def test_a_failed_work_is_raised(shelf, monkeypatch):
    job = Job(TINY_DIT, DDIM(), schedulers.DDIM, 2, 1.0, 1)
    files = saved(TINY_DIT, shelf)
    loop = Loop(job, Place(OrtEngine(files.graph, files.root, threads=1), NumpyDevice()))
    failed = Outcome(error=NonFinite("picture 0 became NaN."))
    monkeypatch.setattr(loop._pool, "take", lambda number: failed)
    with pytest.raises(NonFinite):
        loop.run()
    loop.close()


def test_full_cases_cover_the_shapes_and_skip_a_cpu(capsys):
    found = [
        each
        for module in (bench_dit, bench_few, bench_sd15, bench_sdxl)
        for each in module.cases(Size.FULL)
    ]
    names = [each.name for each in found]
    for shape in ("dit-xl", "dit-s", "sd15", "sdxl"):
        assert sum(f" {shape} " in name for name in names) == 2, shape
    if not torch.cuda.is_available():
        assert list(found[0].records(Setting(Size.FULL, here(), Path()))) == []
        assert "wants a CUDA device" in capsys.readouterr().err


def test_the_others_are_measured_when_one_fails(monkeypatch, capsys):
    class Broken:
        def __init__(self, *arguments):
            raise RuntimeError("planted")

    monkeypatch.setattr("bench.loop.provider.Loop", Broken)
    (each,) = bench_few.cases(Size.TINY)
    records = each.records(Chosen(Size.TINY, here(), Path(), without=("torch.compile",)))
    seen = [next(records).provider for _ in range(2)]
    with pytest.raises(RuntimeError, match="denoisert, denoisert torch failed"):
        next(records)
    assert seen == ["captured forward", "eager"]
    assert "planted" in capsys.readouterr().out


def test_a_full_case_goes_through_on_a_card(shelf, monkeypatch):
    job = Job(TINY_DIT, DDIM(), schedulers.DDIM, 3, 3.0, 1)
    monkeypatch.setattr("bench.loop.case.ROUNDS", 1)
    monkeypatch.setattr(
        "bench.loop.places.TorchDevice", lambda name, most_graphs=32: TorchDevice("cpu")
    )
    for place in ("case", "ratio"):
        monkeypatch.setattr(
            f"bench.loop.{place}.launches", lambda run, *how: {"launches_a_tick": 1}
        )
    monkeypatch.setattr("bench.loop.case.MOST_ROUNDS", 1)
    setting = Chosen(Size.FULL, here(), Path(), shelf=shelf, without=("torch.compile",))
    with fake_card(monkeypatch):
        (each,) = loop_cases("few", [job])
        records = list(each.records(setting))
    found = {record.provider: record.extra for record in records}
    assert [*found] == ["denoisert", "denoisert eager", "captured forward", "eager"]
    assert found["denoisert eager"]["captured_equals_eager"] == "true"
    for name in ("denoisert", "denoisert eager"):
        assert found[name]["tick_to_forward"] > 0
        assert found[name]["error"] < 0.02, "float16 against float32"
    assert found["eager"]["error"] < 0.02
    assert all(extra["launches_a_tick"] == 1 for extra in found.values())
    assert all(record.dtype == "float16" for record in records)
    assert len([*shelf.glob("dit-tiny*/truth*.npy")]) == 1


def test_branches_differ():
    for shape in (TINY_DIT, TINY_SDXL):
        cond, uncond = Job(shape, Euler(), schedulers.Euler, 4, 5.0, 1).conditions()
        assert all(np.any(cond[name] != uncond[name]) for name in cond)


def test_a_table_asks_what_the_job_says():
    job = Job(TINY_SDXL, Euler(), schedulers.Euler, 4, 5.0, 3)
    assert ours.table(job).nfe == 8
    assert job.lanes == 6
    assert [port.name for port in inputs(TINY_SDXL)][2:] == [*job.conditions()[0]]
    assert job.noise().shape == (3, 4, 8, 8)

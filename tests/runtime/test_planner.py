"""What a plan says before anything runs, and that its figures are those of the run."""

import gc
import tracemalloc

import numpy as np
import pytest

from denoisert.runtime import CFG, Condition, Heun, Request, Runtime, Start
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.devices.device import grown
from denoisert.runtime.errors import InvalidInput, OutOfProfile
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.measure.estimate import Basis, Estimate
from denoisert.runtime.measure.profile import Call, Profile, ProfileKey
from denoisert.runtime.plan import Plan, pool_bytes, widest_row
from denoisert.runtime.planner import Planner
from denoisert.runtime.sampler import TableCache
from denoisert.runtime.sampling.solvers import Euler
from tests.runtime.bundles import compiled, watched
from tests.runtime.networks import perceptron
from tests.runtime.samplers import GUIDANCE, SOLVERS, flow_table, wide_table
from tests.runtime.shared import apart, variance_table
from tests.runtime.spies import pool_of


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    toy = perceptron()
    denoiser = toy.denoiser(tmp_path_factory.mktemp("toy"))
    return Planner(denoiser, TableCache(toy.card()), "onnxruntime 1.0 on the CPU", 8)


def test_a_plan_says_engine_sampler_work_memory_and_time(planner):
    plan = planner.plan(Request(3, images=4, steps=9, solver=Heun(), guidance=CFG(2.0))).plan
    assert str(plan).splitlines() == [
        "engine   onnxruntime 1.0 on the CPU",
        "sampler  Heun(), 9 steps, 16 stages, 32 evaluations per picture",
        "work     4 picture(s), up to 8 lanes per call",
        f"memory   {plan.memory_bytes / 2**20:.2f} MiB for latents and lanes",
        f"time     {Estimate()}",
    ]


def test_a_known_time_is_shown_with_what_it_rests_on():
    time = Estimate(1.25, Basis.MEASURED)
    plan = Plan("here", Euler(), 1, 1, 1, 1, 1, 0, time, ("one", "two"))
    lines = ["time     1.250 s (measured)", "note     one", "note     two"]
    assert str(plan).splitlines()[-3:] == lines


@pytest.mark.parametrize(
    ("images", "calls"),
    [(1, {2: 5}), (4, {8: 5}), (8, {16: 5}), (19, {16: 10, 6: 5})],
)
def test_expected_time_counts_every_call_of_the_denoiser(tmp_path, images, calls):
    """Eight slots, two lanes each: full rounds first, the rest in a smaller bucket."""
    toy = perceptron()
    seconds = {lanes: 0.01 * lanes**0.5 for lanes in range(1, 17)}
    measured = tuple(Call("denoiser", lanes, time) for lanes, time in seconds.items())
    profile = Profile(ProfileKey("b", "t", "d", 1, {}), measured)
    planner = Planner(toy.denoiser(tmp_path), TableCache(toy.card()), "here", 8, profile=profile)
    time = planner.plan(Request(3, images=images, guidance=CFG(2.0))).plan.time
    assert time.basis is Basis.MEASURED
    assert time.seconds == pytest.approx(sum(seconds[b] * times for b, times in calls.items()))


@pytest.mark.parametrize("guidance", GUIDANCE, ids=repr)
@pytest.mark.parametrize("solver", SOLVERS[3:6], ids=repr)
def test_stages_and_evaluations_are_those_that_run(solver, guidance, tmp_path_factory):
    lanes = []
    folder = tmp_path_factory.mktemp("toy")
    runtime, spy = watched(
        compiled(perceptron(), folder), before=lambda b: lanes.append(len(b["label"]))
    )
    request = Request(3, steps=6, solver=solver, guidance=guidance)
    plan = runtime.plan(request)
    assert spy.runs == []
    assert runtime.generate(request).nfe == plan.nfe == sum(lanes)
    assert len(lanes) == plan.stages
    assert max(lanes) == plan.lanes
    runtime.close()


def test_notes_tell_what_the_graph_costs(tmp_path):
    kinds = {
        "scalar": ({"time": TimeShape.SCALAR}, ["one time per call"]),
        "fixed": ({"batch": 4}, ["fixed batch of 4", "16 lanes at once need 4 calls"]),
        "plain": ({}, []),
    }
    for name, (shape, words) in kinds.items():
        with Runtime.open(compiled(perceptron(**shape), tmp_path / name)) as runtime:
            plan = runtime.plan(Request(3, images=20, guidance=CFG(2.0)))
            assert len(plan.notes) == len(words)
            for note, word in zip(plan.notes, words, strict=True):
                assert word in note
                assert f"note     {note}" in str(plan)
            assert plan.lanes == (4 if name == "fixed" else 16)


def test_lanes_beyond_the_largest_bucket_are_noted(tmp_path):
    with Runtime.open(compiled(perceptron(), tmp_path), slots=20) as runtime:
        plan = runtime.plan(Request(3, images=30, guidance=CFG(2.0)))
    assert plan.lanes == 16
    assert plan.notes == ("40 lanes at once need 3 calls per tick",)


@pytest.mark.parametrize("slots", [1, 8])
def test_memory_counts_what_a_pool_allocates(slots, tmp_path):
    """Against a real pool that has grown to the table, within a tenth."""
    layout = StateLayout((Part("latent", (4, 64, 64)),))
    denoiser = perceptron(layout=layout).denoiser(tmp_path)
    lane_bytes = 2 * layout.elements * 4 + 12
    for table in (flow_table(), wide_table(6, externals=("a", "b", "c"), taps=2)):
        gc.collect()
        tracemalloc.start()
        pool = pool_of(denoiser, slots=slots)
        pool.memory.grow(grown(pool.memory.form, table.form))
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        claimed = pool_bytes(layout, table, slots, lane_bytes, 16)
        assert abs(claimed - size) < 0.1 * size


class Learned(TableCache):
    """Whatever is asked, a learned variance under guidance: three branches on two lanes."""

    def table(self, sampler):
        return variance_table(sampler.steps, sampler.guidance)


@pytest.mark.parametrize("images", [1, 3])
def test_a_learned_variance_costs_no_lane(tmp_path, images):
    """Evaluations, lanes, time and memory are those without it, but for its column."""
    toy = perceptron(ports=2)
    denoiser = toy.denoiser(tmp_path)
    seconds = {lanes: 0.01 * lanes**0.5 for lanes in range(1, 17)}
    measured = tuple(Call("denoiser", lanes, time) for lanes, time in seconds.items())
    profile = Profile(ProfileKey("b", "t", "d", 1, {}), measured)
    request = Request(3, images=images, steps=6, guidance=CFG(2.0))
    plain, learned = (
        Planner(denoiser, cache(toy.card()), "here", 8, profile=profile).plan(request)
        for cache in (TableCache, Learned)
    )
    assert [len(row) for row in learned.asks] == [0, *[2] * 6]
    assert learned.table.form.branches == 3
    assert (learned.plan.nfe, learned.plan.lanes) == (plain.plan.nfe, plain.plan.lanes)
    assert learned.plan.nfe == 12
    assert learned.plan.time == plain.plan.time
    columns = (8 + 1) * toy.shape.layout.elements * 4  # of eight slots and of scratch
    assert learned.plan.memory_bytes - plain.plan.memory_bytes == columns


def test_memory_of_a_pool_grows_with_its_lanes():
    table, layout = variance_table(3, CFG(2.0)), perceptron().shape.layout
    one, other = (pool_bytes(layout, each, 8, 1000, 16) for each in (table, apart(table)))
    assert other - one == 8 * 1000


def test_widest_row_counts_lanes():
    assert widest_row(variance_table(3)) == 1
    assert widest_row(variance_table(3, CFG(2.0))) == 2
    assert widest_row(apart(variance_table(3, CFG(2.0)))) == 3
    assert widest_row(flow_table()) == 1
    assert widest_row(flow_table(guidance=CFG(2.0, interval=(0.1, 0.5)))) == 2
    assert widest_row(wide_table(3)) == 2


def test_conditions_follow_the_table(planner):
    assert len(planner.plan(Request(3)).conditions.lanes) == 1
    assert len(planner.plan(Request(3, guidance=CFG(1.0))).conditions.lanes) == 1
    two = planner.plan(Request(Condition(3, negative=5), guidance=CFG(0.0))).conditions
    assert [int(each.given["label"]) for each in two.lanes] == [3, 5]


def test_a_start_latent_becomes_the_source(planner):
    latent = np.random.default_rng(1).standard_normal((2, 6, 5))
    planned = planner.plan(Request(3, start=Start(latent)))
    assert planned.start.shape == (1, 60)
    assert planned.start.dtype == np.float32
    assert planned.table.externals == ("source",)
    assert planner.plan(Request(3)).start is None


def test_previews_are_part_of_the_table(planner):
    plain, shown = planner.plan(Request(3)), planner.plan(Request(3), previews=2)
    assert (plain.previews, shown.previews) == (0, 2)
    assert plain.table.fingerprint != shown.table.fingerprint
    with pytest.raises(InvalidInput, match="previews -1"):
        planner.plan(Request(3), previews=-1)


def test_what_the_branches_are_told_is_counted(planner):
    assert planner.plan(Request(3)).told_bytes == 8
    assert planner.plan(Request(3, guidance=CFG(2.0))).told_bytes == 16


def test_prompts_and_pictures_of_a_text_bundle(text_bundle):
    """Size in pixels, tokenised prompts, a picture to start from: all of it before any work."""
    with Runtime.open(text_bundle, threads=1) as runtime:
        planner = runtime._intake.planner
        planned = planner.plan(Request("red apple", size=(32, 32), guidance=CFG(4.0)))
        assert [prompt.encoder for prompt in planned.conditions.prompts] == ["text_encoder"] * 2
        assert planned.told_bytes == 2 * 16 * 32 * 4
        assert planned.pixel_bytes == 32 * 32 * 3
        with pytest.raises(OutOfProfile, match="compiled for 32x32"):
            planner.plan(Request("red apple", size=(8, 8)))
        picture = np.full((32, 32, 3), 200, np.uint8)
        started = planner.plan(Request("red apple", start=Start(picture, 0.5)))
        assert started.start is None
        assert np.array_equal(started.picture.pixels, picture)
        with pytest.raises(InvalidInput, match="compiled for uint8"):
            planner.plan(Request("red apple", start=Start(picture[:16], 0.5)))
        assert "truncated" in str(planner.plan(Request("red apple " * 99)).plan)
        assert runtime.stats()["ticks"] == runtime.stats()["text_ms"] == 0

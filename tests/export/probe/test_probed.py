"""A probed sampler is a solver on one schedule."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.export.probe import Probed, Start, probe_function, probe_scheduler
from denoisert.runtime import Request
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear, Trailing
from tests.export.probe import samplers
from tests.export.probe.cases import FREE, Case, Torch
from tests.runtime.bundles import NOISE_TRAINING
from tests.runtime.networks import perceptron

SIGMAS = [10.0, 4.0, 1.5, 0.5, 0.0]


@pytest.fixture(scope="module")
def heun() -> Probed:
    return probe_function(samplers.heun, SIGMAS, schedule=ScaledLinear())


def test_what_it_tells(heun):
    assert repr(heun) == "Probed(heun, steps=4, stages=7, registers=2, draws=1)"
    assert (heun.steps, heun.stages, heun.registers, heun.draws) == (4, 7, 2, 1)
    assert heun.evaluations_per_step == 2
    assert heun.minimal == (1, 2, 1, 2, 1, 2, 1, 1)
    assert heun.order == 0
    assert heun.residual < 1e-13
    assert heun.error < 1e-13


def test_points_are_the_starts_of_its_steps(heun):
    assert [point.sigma_ve for point in heun.points] == pytest.approx(SIGMAS[:-1])
    assert len(heun.pinned.points) == 7


def test_its_own_grid(heun):
    grid = heun.grid
    assert grid.steps == 4
    assert (grid.alpha[-1], grid.sigma[-1]) == (1.0, 0.0)
    assert heun.rows(grid) is heun.pinned
    assert heun.rows() is heun.pinned


def test_its_own_schedule_is_one_that_a_request_takes(heun):
    card = perceptron().card(training=replace(NOISE_TRAINING, schedule=ScaledLinear()))
    request = Request(3, solver=heun, schedule=heun.schedule, guidance=Unguided())
    sampler = Sampler.of(request, card)
    assert sampler.steps == 4
    table = compile_table(sampler, card)
    assert table.stages == 7
    assert table.model_time[1, 0] == heun.points[0].model_time
    assert len({sampler, Sampler.of(request, card)}) == 1  # tables are cached by it
    with pytest.raises(InvalidInput, match=r"probed at 4 steps, and 5 were asked"):
        compile_table(replace(sampler, steps=5), card)
    flow = perceptron().card()
    with pytest.raises(InvalidInput, match=r"another path: step 0 starts at .*Flow\("):
        compile_table(Sampler.of(request, flow), flow)


@pytest.mark.parametrize(
    "sigmas", [[0.5, 1.0, 4.0], [4.0, 4.0, 0.0], [4.0], [4.0, 1.0, -1.0], [float("inf"), 0.0]]
)
def test_levels_that_do_not_fall_are_refused(sigmas):
    with pytest.raises(InvalidInput, match="have to fall from step to step"):
        probe_function(samplers.heun, sigmas)


def test_rounded_times_are_the_same_schedule(heun):
    grid = heun.grid
    single = replace(grid, alpha=grid.alpha.astype(np.float32).astype(float))
    assert heun.rows(single) is heun.pinned


def test_another_number_of_steps_is_refused(heun):
    with pytest.raises(InvalidInput, match=r"heun was probed at 4 steps, the grid has 7"):
        heun.rows(Trailing().grid(ScaledLinear(), 7))
    with pytest.raises(InvalidInput, match=r"the grid has 3"):
        heun.rows(Trailing().grid(ScaledLinear(), 3))


def test_another_schedule_of_as_many_steps_is_refused(heun):
    with pytest.raises(
        InvalidInput, match=r"another schedule: step 0 starts at .*schedule=probed\.schedule"
    ):
        heun.rows(Trailing().grid(ScaledLinear(), 4))


def test_another_time_alone_is_refused(heun):
    times = heun.grid.model_time + 1.0
    with pytest.raises(InvalidInput, match=r"step 0 starts at"):
        heun.rows(replace(heun.grid, model_time=times))


def test_it_folds_with_guidance_into_a_table_that_renames(heun):
    table = fold(heun.rows(heun.grid), Parametrisation.EPS, CFG(4.0))
    assert table.nfe == 14
    assert table.form.registers == 2
    assert table.amplification > 0


def test_an_inversion_has_no_falling_grid():
    case = Case("ddim_inverse", 1, FREE)
    probed = probe_scheduler(lambda: case.build(6), start=Start.SOURCE)
    assert probed.draws == 0
    assert probed.pinned.basis.externals == ("source",)
    assert probed.points[-1].sigma > probed.points[0].sigma
    with pytest.raises(InvalidInput, match="falling noise level"):
        _ = probed.grid


def test_a_repeated_time_of_pndm_is_one_step():
    probed = probe_scheduler(lambda: Case("pndm", 4, {"skip_prk_steps": True}).build(8))
    assert (probed.stages, probed.steps) == (9, 8)
    assert probed.grid.steps == 8
    assert probed.evaluations_per_step == 2


def test_public_names():
    from denoisert.export import probe

    assert {name for name in probe.__all__ if getattr(probe, name)} == set(probe.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = probe.nothing


@pytest.mark.timeout(60)
def test_fifty_steps_take_a_moment():
    """About 0.1 s on an idle core; the limit only catches a cost that grows with the square."""
    from time import perf_counter

    from denoisert.export.probe.probe import registers
    from denoisert.export.probe.scheduler import SchedulerSource

    source = SchedulerSource(lambda: Case("ddim", 1, FREE).build(50), {"generator": Torch()})
    registers(source)
    begin = perf_counter()
    registers(source)
    assert perf_counter() - begin < 3.0

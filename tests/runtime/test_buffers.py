"""Buffers of a request become pages of flat states, or are refused with what would fit."""

import numpy as np
import pytest

from denoisert.runtime import DPMSolverV3, Ending, NoiseReplay, Request, Start
from denoisert.runtime.buffers import checked_buffers, page_bytes
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.planner import Planner
from denoisert.runtime.sampler import TableCache
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Trailing
from denoisert.runtime.sampling.solvers.model_statistics import Statistics
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.statistics_given import LEVELS

ONE = StateLayout((Part("latent", (2, 3)),))
TWO = StateLayout((Part("image", (2, 2)), Part("sound", (2,))))
RNG = np.random.default_rng(0)


def replay(steps=4):
    rows = NoiseReplay().rows(Trailing().grid(Flow(), steps))
    return fold(rows, Parametrisation.FLOW, Unguided())


def checked(value, layout=ONE, table=None):
    return checked_buffers({"recorded": value}, table or replay(), layout)["recorded"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3)])
def test_pages_become_flat_float32(shape, dtype):
    value = (9 * RNG.standard_normal(shape)).astype(dtype)
    found = checked(value)
    assert (found.shape, found.dtype) == ((4, 6), np.float32)
    np.testing.assert_array_equal(found, value.reshape(4, 6).astype(np.float32))


def test_what_the_user_holds_is_copied_and_the_copy_not_written():
    value = np.ones((4, 6), np.float32)
    found = checked(value)
    value[:] = 2.0
    assert found.max() == 1.0
    assert value.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 3.0


def test_lists_are_taken_and_parts_lie_one_after_another():
    assert checked([[1.0] * 6] * 4, TWO).shape == (4, 6)
    with pytest.raises(InvalidInput, match=r"shape \(4, 2, 2\).*4 page\(s\) of it, each of \(6,\)"):
        checked(np.zeros((4, 2, 2)), TWO)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6), (1, 2, 3)])
def test_a_single_page_needs_no_first_dimension(shape):
    assert checked(np.ones(shape), table=replay(1)).shape == (1, 6)


@pytest.mark.parametrize(
    "shape",
    [(3, 6), (5, 6), (6, 4), (6,), (2, 3), (0, 6), (4, 7), (4, 3, 2), (4, 1, 6), (24,), (), (4,)],
    ids=str,
)
def test_other_shapes_are_refused_with_the_one_that_fits(shape):
    with pytest.raises(
        InvalidInput, match=r"'recorded' has shape .* reads 4 page\(s\) of it, each"
    ):
        checked(np.zeros(shape))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full((4, 6), np.nan), "NaN or infinite"),
        (np.full((4, 6), np.inf), "NaN or infinite"),
        (np.full((4, 6), 1e39), "do not fit float32"),
        (np.full((4, 6), 1j), "complex128; pass an array of real numbers"),
        (np.full((4, 6), "a"), "real numbers"),
        ([[1.0], [2.0, 3.0]], "not an array"),
        (None, "real numbers"),
    ],
    ids=str,
)
def test_what_is_no_finite_number_is_refused(value, message):
    with pytest.raises(InvalidInput, match=f"buffer 'recorded'.*{message}"):
        checked(value)


def test_buffers_of_one_solver_may_all_be_as_long_as_the_longest():
    """DPM-Solver-v3 reads some of its arrays in some steps only."""
    solver = DPMSolverV3(3, ending=Ending.LOWERED)
    grid = LEVELS.grid(Flow(), 6)
    table = fold(solver.rows(grid), Parametrisation.FLOW, Unguided())
    statistics = Statistics.of_clean_estimate(np.linspace(-2.31, 3.0, 50), 6)
    arrays = solver.externals(grid, statistics)
    read = dict(zip(table.externals, (table.external_index.max(axis=0) + 1).tolist(), strict=True))
    assert min(read.values()) < max(read.values()) == 6
    assert {len(page) for page in checked_buffers(arrays, table, ONE).values()} == {6}
    shortest = min(read, key=read.__getitem__)
    low = read[shortest]
    cut = {**arrays, shortest: arrays[shortest][:low]}
    assert len(checked_buffers(cut, table, ONE)[shortest]) == low
    for wrong in (np.zeros((low - 1, 6)), np.zeros((7, 6))):
        with pytest.raises(InvalidInput, match=rf"'{shortest}'.* reads {low} to 6 page\(s\)"):
            checked_buffers({**arrays, shortest: wrong}, table, ONE)


def test_bytes_of_pages():
    """Tapes for every image, buffers once, the tape of previews not at all."""
    layout, buffers = ONE, {"a": np.zeros((3, 6), np.float32), "b": np.zeros((1, 6), np.float32)}
    table = wide_table(6, externals=("a", "b"), taps=2)
    written = sum(table.tape_pages)
    assert written > 1
    assert page_bytes(buffers, table, layout, 5, 0) == 24 * (5 * written + 4)
    assert page_bytes({}, flow_table(), layout, 5, 0) == 0
    assert page_bytes({}, flow_table(previews=2), layout, 5, 2) == 0


def test_what_is_planned_carries_them(tmp_path):
    toy = perceptron()
    planner = Planner(toy.denoiser(tmp_path), TableCache(toy.card()), "here", 8)
    value = RNG.standard_normal((5, 2, 6, 5))
    start = Start(buffers={"recorded": value})
    planned = planner.plan(Request(3, images=3, steps=5, solver=NoiseReplay(), start=start))
    assert (planned.start, planned.picture) == (None, None)
    wanted = value.reshape(5, 60).astype(np.float32)
    np.testing.assert_array_equal(planned.buffers["recorded"], wanted)
    assert planned.page_bytes == wanted.nbytes
    assert planned.pool_bytes == planned.plan.memory_bytes - wanted.nbytes
    assert planner.plan(Request(3)).page_bytes == 0
    with pytest.raises(InvalidInput, match="with the same steps"):
        planner.plan(Request(3, steps=4, solver=NoiseReplay(), start=start))

"""A pool's float32 results against the float64 reference: samplers, ranks, parts, ports."""

import numpy as np
import pytest

from denoisert.kernels.philox import reference as philox
from denoisert.kernels.step.form import Form
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.sampling.basis import Everywhere, RangeMap
from denoisert.runtime.sampling.table import TableProduct
from tests.runtime.networks import NULL, convolution, perceptron
from tests.runtime.samplers import (
    GUIDANCE,
    OPERATIONS,
    SOLVERS,
    flow_table,
    noise_table,
    wide_table,
)
from tests.runtime.sampling.drafts import assemble, blank
from tests.runtime.spies import alone, bound, error, exact, finish, run, work

PAIR = StateLayout((Part("image", (3, 4, 4)), Part("sound", (2, 7))))


@pytest.mark.parametrize("guidance", GUIDANCE, ids=repr)
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_solver_and_guidance(toy, denoiser, solver, guidance):
    each = work(flow_table(solver, 7, guidance), (4, NULL), seed=2**63 + 17, image=3)
    found, wanted = alone(denoiser, each), exact(toy, each, (4, NULL))
    assert error(found.latent, wanted.latent) <= bound(each.table)


@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=repr)
@pytest.mark.parametrize("solver", [s for s in SOLVERS if "Flow" not in repr(s)], ids=repr)
def test_noise_network_on_a_variance_preserving_path(solver, operation, tmp_path):
    toy = perceptron(seed=4, time_gain=1e-3, gain=0.3)
    each = work(noise_table(solver, 9, GUIDANCE[1], operation), (4, 7), seed=5)
    found, wanted = alone(toy.denoiser(tmp_path), each), exact(toy, each, (4, 7))
    assert error(found.latent, wanted.latent) <= bound(each.table)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        *((perceptron, shape) for shape in ((768,), (1, 1), (3, 5, 4), (2, 3, 4, 5))),
        (perceptron, (1, 2, 2, 3, 2)),
        (convolution, (2, 9)),
        (convolution, (3, 5, 4)),
        (convolution, (2, 3, 4, 5)),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_state_of_any_rank(make, shape, tmp_path):
    toy = make(seed=5, layout=StateLayout((Part("state", shape),)))
    each = work(flow_table(SOLVERS[5], 5, GUIDANCE[4]), (1, NULL), seed=6)
    found = alone(toy.denoiser(tmp_path), each).latent
    assert error(found, exact(toy, each).latent) <= bound(each.table)


def test_start_latents_are_read_at_strength(toy, denoiser):
    rng = np.random.default_rng(7)
    source = rng.standard_normal((1, toy.shape.layout.elements)).astype(np.float32)
    for strength in (0.3, 1.0):
        table = flow_table(SOLVERS[3], 8, strength=strength)
        each = work(table, seed=3, externals={"source": source})
        found = alone(denoiser, each).latent
        assert error(found, exact(toy, each).latent) <= bound(table)
    assert table.stages == 8


def test_taps_and_external_pages(toy, denoiser):
    rng = np.random.default_rng(8)
    n = toy.shape.layout.elements
    pages = {name: rng.standard_normal((2, n)).astype(np.float32) for name in ("a", "b")}
    each = work(wide_table(6, 7, ("a", "b"), taps=2), seed=9, externals=pages)
    found, wanted = alone(denoiser, each), exact(toy, each)
    assert error(found.latent, wanted.latent) <= bound(each.table)
    assert [tape.shape for tape in found.tapes] == [(7, n), (7, n)]
    for tape, other in zip(found.tapes, wanted.tapes, strict=True):
        for page, value in other.items():
            assert error(tape[page], value) <= bound(each.table)


def test_recorded_noise_is_read_from_its_pages(toy, denoiser):
    n = toy.shape.layout.elements
    recorded = np.random.default_rng(9).standard_normal((4, n)).astype(np.float32)
    form = Form(1, 1, 1)
    matrix = blank(form, 3)
    matrix[1:, form.register_row(0), 0] = 0.9
    matrix[1:, form.register_row(0), form.branch(0)] = -0.2
    matrix[1:, form.register_row(0), form.draw(0)] = 0.5
    table = assemble(
        form,
        matrix,
        externals=("noise",),
        external_index=np.arange(4)[:, None],
        noise_source=(0, -1),
        draws=np.ones(4, np.int64),
        model_time=np.full((4, 1), 0.5),
    )
    x = recorded[0].astype(np.float64)
    for page in recorded[1:].astype(np.float64):
        x = 0.9 * x - 0.2 * toy.answer(x, 0.5, 3) + 0.5 * page
    found = alone(denoiser, work(table, (3,), externals={"noise": recorded}))
    assert error(found.latent, x) <= bound(table)


def two_speed_table(first, second):
    """Euler on a state of two parts; the second part runs through its own times.

    R'_0 = R_0 + (a' - a) F on the image, + (b' - b) F on the sound.
    """
    form, steps = Form(1), len(first) - 1
    matrix = blank(form, steps)
    matrix[1:, form.register_row(0), 0] = 1.0
    products = [()]
    for now, after in zip(
        zip(first, second, strict=True), zip(first[1:], second[1:], strict=True), strict=False
    ):
        gains = [end - begin for begin, end in zip(now, after, strict=True)]
        products.append(
            tuple(
                TableProduct(0, gain, RangeMap(part), form.branch(0))
                for part, gain in enumerate(gains)
            )
        )
    times, scalars = np.zeros((steps + 1, 1)), np.zeros((steps + 1, 1, 4))
    times[1:, 0], scalars[1:, 0, 0] = first[:-1], second[:-1]
    return assemble(
        form,
        matrix,
        products=tuple(products),
        model_time=times,
        scalars=scalars,
        draws=np.array([1] + [0] * steps),
    )


@pytest.mark.parametrize("time", list(TimeShape), ids=lambda time: time.value)
def test_two_parts_with_two_times(time, tmp_path):
    toy = perceptron(seed=6, layout=PAIR, scalars=("sound_time",), time=time)
    a, b = np.linspace(1, 0, 7), np.linspace(1, 0, 7) ** 2
    table = two_speed_table(a, b)
    each = work(table, (3,), seed=21)
    image = philox.normals(21, draw=0, count=48 + 14, dtype=np.float64)
    x = image.copy()
    for step in range(6):
        answer = toy.answer(x, a[step], 3, [b[step]])
        x[:48] += (a[step + 1] - a[step]) * answer[:48]
        x[48:] += (b[step + 1] - b[step]) * answer[48:]
    assert error(exact(toy, each, (3,)).latent, x) < 1e-12
    denoiser = toy.denoiser(tmp_path)
    beside = [each, work(two_speed_table(b, a), (5,), seed=22), each]
    for outcome in (alone(denoiser, each), run(denoiser, beside)[2]):
        assert error(outcome.latent, x) <= bound(table)


def test_two_ports_read_different_channels(tmp_path):
    """The second port, as learned variance has it, reaches the latent through a product."""
    toy = perceptron(seed=7, ports=2)
    form = Form(1, 2)
    matrix = blank(form, 4)
    matrix[1:, form.register_row(0), 0] = 0.8
    matrix[1:, form.register_row(0), form.branch(0)] = 0.3
    half = TableProduct(0, 0.5, Everywhere(), form.branch(1))
    port = np.zeros((5, 2), np.int64)
    port[:, 1] = 1
    condition = np.zeros((5, 2), np.int64)
    condition[0] = -1
    table = assemble(
        form,
        matrix,
        products=((), *[(half,)] * 4),
        port=port,
        condition=condition,
        model_time=np.full((5, 2), 0.25),
    )
    x = philox.normals(8, draw=0, count=toy.shape.layout.elements, dtype=np.float64)
    for _ in range(4):
        x = 0.8 * x + sum(
            gain * toy.answer(x, 0.25, 6, port=port) for port, gain in ((0, 0.3), (1, 0.5))
        )
    each = work(table, (6,), seed=8)
    assert error(exact(toy, each, (6,)).latent, x) < 1e-12
    assert error(alone(toy.denoiser(tmp_path), each).latent, x) <= bound(table)


def test_branches_may_read_different_registers_scales_and_times(tmp_path):
    toy = perceptron(seed=8)
    form = Form(2, 2)
    matrix = blank(form, 3)
    matrix[0, form.register_row(1), form.draw(1)] = 1.0
    for register, branch in ((0, 1), (1, 0)):
        matrix[1:, form.register_row(register), register] = 0.7
        matrix[1:, form.register_row(register), form.branch(branch)] = 0.4
    times, scale = np.tile([0.2, 0.6], (4, 1)), np.tile([1.5, 0.5], (4, 1))
    table = assemble(
        form,
        matrix,
        renames=False,
        input_register=np.tile([0, 1], (4, 1)),
        input_scale=scale,
        model_time=times,
        live=np.full(4, 0b11),
    )
    n = toy.shape.layout.elements
    a, b = (philox.normals(4, draw=d, count=n, dtype=np.float64) for d in (0, 1))
    for _ in range(3):
        of_a, of_b = toy.answer(1.5 * a, 0.2, 1), toy.answer(0.5 * b, 0.6, 2)
        a, b = 0.7 * a + 0.4 * of_b, 0.7 * b + 0.4 * of_a
    found = alone(toy.denoiser(tmp_path), work(table, (1, 2), seed=4))
    assert error(found.latent, a) <= bound(table)


def test_whole_train_times_reach_a_network_of_integers(tmp_path):
    toy = perceptron(seed=9, time_dtype="int64", time_gain=1e-3)
    each = work(noise_table(SOLVERS[1], 6), (2, NULL), seed=3)
    found = alone(toy.denoiser(tmp_path), each).latent
    assert error(found, exact(toy, each, (2, NULL)).latent) <= bound(each.table)


def test_two_engines_take_turns(tmp_path):
    """Branch 0 asks one engine, branch 1 another; each has its own lanes."""
    toys = [perceptron(seed=10), perceptron(seed=11, batch=2)]
    denoisers = []
    for index, toy in enumerate(toys):
        folder = tmp_path / str(index)
        folder.mkdir()
        denoisers.append(toy.denoiser(folder))
    form = Form(1, 2)
    matrix = blank(form, 4)
    matrix[1:, form.register_row(0), :3] = (0.9, 0.3, -0.2)
    table = assemble(
        form,
        matrix,
        engine=np.tile([0, 1], (5, 1)),
        model_time=np.full((5, 2), 0.5),
    )
    pool = Pool(toys[0].shape.layout, denoisers, NumpyDevice(), slots=3)
    numbers = [pool.submit(work(table, (1, 2), seed=seed)) for seed in range(5)]
    finish(pool)
    for seed, number in enumerate(numbers):
        x = philox.normals(seed, draw=0, count=toys[0].shape.layout.elements, dtype=np.float64)
        for _ in range(4):
            answers = [toy.answer(x, 0.5, label) for toy, label in zip(toys, (1, 2), strict=True)]
            x = 0.9 * x + 0.3 * answers[0] - 0.2 * answers[1]
        assert error(pool.take(number).latent, x) <= bound(table)

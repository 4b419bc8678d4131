"""What a solver itself brings beyond D and E: a rule, operations, a learned variance, scalars."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.rule.cpu import CFG_RESCALE
from denoisert.kernels.rule.reference import cfg_rescale
from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampling.basis import Applied, EstimateMap, Term, Weighing
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.rows import Program
from denoisert.runtime.sampling.solvers import DDIM, Bounded
from tests.runtime.sampling.drafts import LAYOUT, draws
from tests.runtime.sampling.programs import angles, coordinates, exact, mixtures

EPS, X0, V = Parametrisation.EPS, Parametrisation.X0, Parametrisation.V


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def one_stage(grid, registers, **stage):
    """A program of one stage; `registers` and what follows are functions of its basis."""
    program = Program(grid, 1)
    basis = program.basis
    program.stage(grid[0], registers(basis), **{name: made(basis) for name, made in stage.items()})
    return program.rows()


def estimates(x, grid, condition=0):
    point = grid[0]
    return mixtures()[condition].estimates(x, point.alpha, point.sigma)


@pytest.mark.parametrize("guidance", [Unguided(), CFG(2.5)], ids=str)
def test_a_rule_of_the_solver_weighs_what_guidance_leaves(guidance):
    """V = (D, E): any combination of the registers and the branches may be weighed."""
    grid, noise = angles(1), draws(2)
    rows = one_stage(
        grid,
        lambda b: [b.guided + 0.25 * b.registers[0]],
        rule=lambda b: Weighing(CFG_RESCALE, (3.0, 0.6), (b.denoised, b.noise)),
    )
    found = execute(fold(rows, V, guidance), LAYOUT, exact(V), noise).latent
    denoised, eps = estimates(noise[0], grid)
    if isinstance(guidance, CFG):
        other = estimates(noise[0], grid, 1)
        denoised = 2.5 * denoised - 1.5 * other[0]
        eps = 2.5 * eps - 1.5 * other[1]
    close(found, cfg_rescale(denoised, eps, 3.0, 0.6) + 0.25 * noise[0])


@pytest.mark.parametrize("bound", [None, Clip(-0.5, 0.6)], ids=str)
def test_operations_of_the_solver_come_after_the_bound(bound):
    """O_0 may be the next state itself, with its noise; O_1 may read it, and maps may be O_0."""
    grid, noise = angles(1), draws(3)
    state = lambda b: 0.7 * b.denoised + 0.3 * b.draws[0] + 0.1 * b.one  # noqa: E731
    rows = one_stage(
        grid,
        lambda b: [b.results[0]],
        operations=lambda b: [Applied(Operation.REFLECT, 0.0, 1.0, state(b))],
        products=lambda b: [Term(0, 0.5, EstimateMap(0), b.registers[0])],
    )
    found = execute(fold(replace(rows, bound=bound), EPS, Unguided()), LAYOUT, exact(EPS), noise)
    denoised = estimates(noise[0], grid)[0]
    value = 0.7 * (denoised if bound is None else np.clip(denoised, -0.5, 0.6)) + 0.3 * noise[1]
    reflected = 1.0 - np.abs((value + 0.1) % 2.0 - 1.0)
    close(found.latent, reflected + 0.5 * reflected * noise[0])


def test_the_second_operation_may_read_the_first():
    grid, noise = angles(1), draws(2)
    rows = one_stage(
        grid,
        lambda b: [b.results[1]],
        operations=lambda b: [
            Applied(Operation.CLIP, -0.3, 0.3, b.noise),
            Applied(Operation.EXP_HALF, 0.0, 0.0, b.results[0] + b.denoised),
        ],
    )
    denoised, eps = estimates(noise[0], grid)
    found = execute(fold(rows, V, Unguided()), LAYOUT, exact(V), noise).latent
    close(found, np.exp((np.clip(eps, -0.3, 0.3) + denoised) / 2))
    with pytest.raises(InvalidInput, match="own 2 operations; a stage holds 2"):
        fold(replace(rows, bound=Clip()), V, Unguided())


def test_a_stage_has_one_rule():
    ruled = one_stage(
        angles(1),
        lambda b: [b.guided],
        rule=lambda b: Weighing(CFG_RESCALE, (2.0, 0.5), (b.denoised, b.noise)),
    )
    with pytest.raises(InvalidInput, match="both have a rule at stage 0"):
        fold(ruled, V, CFG(2.0, rescale=0.5))
    with pytest.raises(InvalidInput, match="would have to come before"):
        fold(replace(ruled, bound=DynamicThreshold()), V, Unguided())
    assert fold(ruled, V, CFG(2.0)).rule.tolist() == [0, CFG_RESCALE]


@pytest.mark.parametrize("guidance", [Unguided(), CFG(2.0), CFG(0.0)], ids=str)
def test_a_learned_variance_is_the_first_conditions_second_port(guidance):
    rows = one_stage(angles(1), lambda b: [b.denoised + 0.1 * b.variance])
    table = fold(rows, EPS, guidance)
    plain = fold(one_stage(angles(1), lambda b: [b.denoised]), EPS, guidance)
    last = table.form.branches - 1
    assert last == plain.form.branches
    assert table.condition[:, last].tolist() == [-1, 0]
    assert table.port[1].tolist() == [0] * last + [1]
    assert (table.model_time[1] == angles(1)[0].model_time).all()
    assert table.matrix[1, table.form.register_row(0), table.form.branch(last)] == 0.1
    np.testing.assert_array_equal(
        table.matrix[1, table.form.register_row(0), 1:last],
        plain.matrix[1, plain.form.register_row(0), 1:last],
    )


def test_a_point_tells_the_network_further_scalars():
    program = Program(angles(2), 1)
    for step, scalars in enumerate([(0.25, 7.0), ()]):
        program.stage(angles(2)[step]._replace(scalars=scalars), [program.basis.denoised])
    table = fold(program.rows(), X0, CFG(2.0))
    expected = np.zeros((3, 2, 4))
    expected[1, :, :2] = 0.25, 7.0
    np.testing.assert_array_equal(table.scalars, expected)
    assert Point(1.0, 0.0, 3.0).scalars == ()


@pytest.mark.parametrize("rederive", [False, True])
def test_a_bounded_solver_is_the_solver_on_the_bounded_estimate(rederive):
    grid, noise = angles(4, last=0.2), draws(6)
    solver = Bounded(DDIM(0.4), Clip(-0.4, 0.5, rederive))
    assert (solver.order, solver.evaluations_per_step) == (1, 1)
    found = execute(fold(solver.rows(grid), V, Unguided()), LAYOUT, exact(V), noise).latent
    x = noise[0]
    for step in range(4):
        now, after = grid[step], grid[step + 1]
        denoised, eps = mixtures()[0].estimates(x, *coordinates(now.model_time))
        denoised = np.clip(denoised, -0.4, 0.5)
        if rederive:
            eps = (x - now.alpha * denoised) / now.sigma
        q = now.alpha * after.sigma / (after.alpha * now.sigma)
        gain = 0.4 * after.sigma * np.sqrt(1 - q**2)
        x = after.alpha * denoised + np.sqrt(after.sigma**2 - gain**2) * eps
        x = x + gain * noise[step + 1]
    close(found, x)
    with pytest.raises(InvalidInput, match="bounded already"):
        Bounded(solver)


def test_a_stage_may_read_what_the_network_says_itself_where_the_rest_is_unknown():
    """At alpha = 0 an eps network says E alone; at alpha = sigma = 0 an x0 network says D."""
    grid = angles(1)
    pure, still = Point(0.0, 1.0, 1.0), Point(0.0, 0.0, 1.0)
    for point, parametrisation, name in ((pure, EPS, "noise"), (still, X0, "denoised")):
        program = Program(grid, 1)
        program.stage(point, [getattr(program.basis, name)])
        matrix = fold(program.rows(), parametrisation, Unguided()).matrix[1]
        assert np.flatnonzero(matrix).size == 1
        other = "denoised" if name == "noise" else "noise"
        program.stage(point, [getattr(program.basis, other)])
        with pytest.raises(InvalidTable, match="does not determine"):
            fold(program.rows(), parametrisation, Unguided())

"""What solvers write: the basis, the program and its bookkeeping."""

import numpy as np
import pytest

from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.basis import (
    Applied,
    Basis,
    Everywhere,
    ExternalMap,
    Term,
    Weighing,
)
from denoisert.runtime.sampling.rows import Program
from tests.runtime.sampling.programs import angles, ddim


@pytest.mark.parametrize("externals", [(), ("source",), ("source", "mask", "known")])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_basis_vectors_are_the_unit_vectors_in_order(count, externals):
    basis = Basis(count, externals)
    vectors = [
        *basis.registers,
        basis.denoised,
        basis.noise,
        basis.variance,
        basis.guided,
        *basis.results,
        *basis.draws,
        *(basis.external(e) for e in range(len(externals))),
        basis.one,
    ]
    np.testing.assert_array_equal(vectors, np.eye(basis.width))


@pytest.mark.parametrize(("count", "externals"), [(0, 0), (9, 0), (1, 17)])
def test_basis_refuses_more_than_a_table_holds(count, externals):
    with pytest.raises(InvalidTable, match="a table holds"):
        Basis(count, tuple(f"x{e}" for e in range(externals)))


def test_prologue_starts_from_noise_alone():
    grid = angles(2)
    rows = ddim(grid)
    expected = np.zeros((1, rows.basis.width))
    expected[0] = grid.noise_gain * rows.basis.draws[0]
    np.testing.assert_array_equal(rows.registers[0], expected)
    assert rows.draws.tolist() == [1, 0, 0]
    assert rows.external_index.shape == (3, 0)
    assert rows.stages == 2
    assert rows.points == (grid[0], grid[1])


def test_prologue_of_a_tail_noises_the_source():
    grid = angles(4).tail(0.5)
    rows = ddim(grid)
    basis = rows.basis
    assert basis.externals == ("source",)
    expected = grid.sigma[0] * basis.draws[0] + grid.alpha[0] * basis.external(0)
    np.testing.assert_array_equal(rows.registers[0, 0], expected)
    assert rows.external_index.tolist() == [[0], [-1], [-1]]


def test_the_source_comes_before_other_externals():
    program = Program(angles(4).tail(0.5), 1, ("mask",))
    assert program.basis.externals == ("source", "mask")
    assert Program(angles(4), 1, ("mask",)).basis.externals == ("mask",)


def test_draws_follow_from_gains_unless_stated():
    program = Program(angles(4), 1)
    basis, grid = program.basis, angles(4)
    first, second = basis.draws
    program.stage(grid[0], [basis.denoised])
    program.stage(grid[1], [basis.denoised + first])
    program.stage(grid[2], [basis.denoised], taps=[(0, second)])
    program.stage(grid[3], [basis.denoised], draws=1)
    assert program.rows().draws.tolist() == [1, 0, 1, 2, 1]


def test_pages_are_kept_for_what_a_row_reads_only():
    program = Program(angles(3), 1, ("mask", "known"))
    basis, grid = program.basis, angles(3)
    known = Term(0, 0.5, ExternalMap(0), basis.external(1))
    program.stage(grid[0], [basis.denoised])
    program.stage(grid[1], [basis.denoised], products=[known], pages={1: 4})
    program.stage(grid[2], [basis.denoised + basis.external(1)])
    rows = program.rows()
    assert rows.external_index.tolist() == [[-1, -1], [-1, -1], [0, 4], [-1, 0]]
    assert [len(terms) for terms in rows.products] == [0, 0, 1, 0]


def test_registers_left_out_become_zero_and_taps_keep_their_page():
    program = Program(angles(2), 3)
    basis, grid = program.basis, angles(2)
    program.stage(grid[0], [basis.denoised], taps=[(7, basis.noise), (2, basis.one)])
    program.stage(grid[1], [basis.noise, basis.registers[0]], taps=[(8, basis.denoised)])
    rows = program.rows()
    np.testing.assert_array_equal(rows.registers[1, 1:], 0)
    np.testing.assert_array_equal(rows.registers[2, 1], basis.registers[0])
    assert rows.tap_index.tolist() == [[-1, -1], [7, 2], [8, -1]]
    np.testing.assert_array_equal(rows.taps[1], [basis.noise, basis.one])
    np.testing.assert_array_equal(rows.taps[2], [basis.denoised, 0 * basis.one])


def test_every_stage_ends_a_step_unless_stated():
    program = Program(angles(4), 1)
    basis, grid = program.basis, angles(4)
    for step, ends in enumerate((1, 0, 1, 2)):
        program.stage(grid[step], [basis.denoised], ends=ends)
    assert program.rows().steps.tolist() == [0, 1, 1, 2, 4]
    assert ddim(angles(3)).steps.tolist() == [0, 1, 2, 3]


def test_a_stage_refuses_more_than_a_row_holds():
    program = Program(angles(2), 1)
    basis, point = program.basis, angles(2)[0]
    term = Term(0, 1.0, Everywhere(), basis.denoised)
    with pytest.raises(InvalidTable, match="2 registers in a row"):
        program.stage(point, [basis.denoised, basis.noise])
    with pytest.raises(InvalidTable, match="4 taps"):
        program.stage(point, [basis.denoised], taps=[(0, basis.noise)] * 5)
    with pytest.raises(InvalidTable, match="16 products"):
        program.stage(point, [basis.denoised], products=[term] * 17)
    program.stage(point, [basis.denoised], taps=[(0, basis.noise)] * 4, products=[term] * 16)
    assert program.rows().stages == 1


def test_another_prologue_takes_the_place_of_the_grids():
    program = Program(angles(4), 2)
    x, _ = program.basis.registers
    program.begin([program.basis.draws[0], program.basis.draws[1]], taps=[(0, program.basis.one)])
    program.stage(angles(4)[0], [x])
    rows = program.rows()
    assert rows.draws.tolist() == [2, 0]
    assert rows.tap_index.tolist() == [[0], [-1]]
    np.testing.assert_array_equal(rows.registers[0], program.basis.draws)


def test_rows_know_what_they_read():
    program = Program(angles(3), 1)
    basis, point = program.basis, angles(3)[0]
    program.stage(point, [basis.denoised])
    program.stage(
        point, [basis.registers[0]], products=[Term(0, 1.0, Everywhere(), basis.variance)]
    )
    program.stage(point, [basis.guided], rule=Weighing(1, (2.0,), (basis.noise, basis.variance)))
    program.stage(
        point, [basis.results[0]], operations=[Applied(Operation.CLIP, 0.0, 1.0, basis.variance)]
    )
    rows = program.rows()
    assert rows.reads(basis.denoised).tolist() == [False, True, False, False, False]
    assert rows.reads(basis.variance).tolist() == [False, False, True, True, True]
    assert rows.reads(basis.noise).tolist() == [False, False, False, True, False]


def test_a_row_holds_two_operations():
    program = Program(angles(3), 1)
    clip = Applied(Operation.CLIP, 0.0, 1.0, program.basis.denoised)
    with pytest.raises(InvalidTable, match="3 operations; a row holds 2"):
        program.stage(angles(3)[0], [program.basis.denoised], operations=[clip] * 3)


def test_a_program_may_start_from_the_source_itself():
    program = Program.from_source(angles(2), 1, ("mask",))
    program.stage(angles(2)[0], [program.basis.denoised])
    rows = program.rows()
    assert rows.basis.externals == ("source", "mask")
    np.testing.assert_array_equal(rows.registers[0, 0], rows.basis.external(0))
    assert rows.draws.tolist() == [0, 0]
    assert rows.external_index.tolist() == [[0, -1], [-1, -1]]

"""What holds for every named solver: fewest registers, finite rows, counts as declared."""

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.previews import with_previews
from tests.runtime.sampling.roster import (
    PATHS,
    ROSTER,
    is_linear,
    minimal_registers,
    path_of,
    table_of,
)

REFUSED = {("restart", 1), ("shortcut", 3), ("shortcut", 5)}
every = pytest.mark.parametrize("name", ROSTER)


@every
def test_a_table_has_no_more_registers_than_the_sampler_needs(name):
    """The largest rank at any boundary; rules and operations are not linear and not ranked."""
    solver = ROSTER[name]
    table = table_of(solver, 16, path_of(solver))
    if is_linear(table):
        assert table.form.registers == max(minimal_registers(table))


@every
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 16])
def test_rows_are_finite_and_evaluations_as_declared(name, steps):
    solver = ROSTER[name]
    if (name, steps) in REFUSED:
        with pytest.raises(InvalidInput, match="Ask for"):
            table_of(solver, steps, path_of(solver))
        return
    table = table_of(solver, steps, path_of(solver))
    assert np.isfinite(table.matrix).all()
    assert table.stages <= steps * solver.evaluations_per_step
    assert table.steps[-1] == steps
    assert np.isfinite(table.amplification)


@every
def test_guidance_and_previews_fit(name):
    solver = ROSTER[name]
    schedule, spacing, parametrisation = PATHS[path_of(solver)]
    rows = solver.rows(spacing.grid(schedule, 8))
    table = fold(with_previews(rows, 2), parametrisation, CFG(3.0))
    plain = fold(rows, parametrisation, CFG(1.0))
    assert table.form.registers == plain.form.registers
    assert table.stages == plain.stages
    assert table.nfe == 2 * plain.nfe

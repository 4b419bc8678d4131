"""The column space, and dense row sets packed into the terms that exist."""

import numpy as np
import pytest

from denoisert.kernels.step.form import ARGUMENTS, DRAWS, VECTORS, Form
from denoisert.kernels.step.row import Operation, Row, pack, terms

NONE, CLIP = (Operation.NONE, 0.0, 0.0), (Operation.CLIP, -0.8, 0.6)


@pytest.mark.parametrize("form", [Form(1), Form(2, 2, 1, 1), Form(8, 16, 16, 4)])
def test_positions_tile_the_column_and_the_row_space(form):
    columns = [
        *range(form.registers),
        *(form.branch(b) for b in range(form.branches)),
        form.guided,
        *(form.estimate(o) for o in range(ARGUMENTS)),
        *(form.draw(q) for q in range(DRAWS)),
        *(form.external(e) for e in range(form.externals)),
        form.one,
    ]
    rows = [
        *(form.vector_row(m) for m in range(VECTORS)),
        *(form.argument_row(o) for o in range(ARGUMENTS)),
        *(form.register_row(i) for i in range(form.registers)),
        *(form.tap_row(t) for t in range(form.taps)),
    ]
    assert columns == list(range(form.columns))
    assert rows == list(range(form.rows))


def test_pack_keeps_only_terms_that_exist():
    form = Form(3, 2, 1, 2)
    matrix = np.zeros((form.rows, form.columns))
    matrix[form.register_row(0), [0, form.branch(1)]] = 1.0, -2.0
    matrix[form.register_row(1), form.draw(0)] = 3.0
    matrix[form.register_row(2)] = 7.0  # not asked for
    matrix[form.argument_row(0), 1] = 1.0
    matrix[form.argument_row(1), 2] = 1.0  # has no operation
    matrix[form.tap_row(1), form.external(0)] = 4.0
    row = pack(
        matrix,
        form,
        operations=(CLIP, NONE),
        registers=(0, 1),
        targets=(2, 0),
        taps=(1,),
    )
    assert isinstance(row, Row)
    assert row.vectors is None
    assert row.registers[0].tolist() == [0, form.branch(1), form.draw(0)]
    assert row.registers[1].tolist() == [[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]]
    assert row.arguments[0][0].tolist() == [1]
    assert row.arguments[1] is None
    assert row.taps[0].tolist() == [form.external(0)]
    assert terms(np.zeros((2, 9))) is None


def test_pack_keeps_rule_vectors_up_to_the_last_one_used():
    form = Form(1, 3)
    matrix = np.zeros((form.rows, form.columns))
    matrix[form.vector_row(0), form.branch(0)] = 1.0
    matrix[form.vector_row(2), form.branch(2)] = 1.0
    row = pack(matrix, form, operations=(NONE, NONE), registers=(0,), targets=(0,))
    assert row.vectors[1].tolist() == [[1, 0], [0, 0], [0, 1]]

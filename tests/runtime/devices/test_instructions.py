"""Rows of a table as the CPU runs them: float32, physical registers, only what exists."""

import numpy as np

from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.instructions import instructions
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, EulerAncestral, Heun
from tests.runtime.samplers import flow_table, wide_table

LAYOUT = StateLayout((Part("latent", (2, 3)),))
POOL = Form(8, 3, 2, 2)


def of(table):
    return instructions(table, LAYOUT, POOL)


def test_one_instruction_for_every_row_and_the_prologue_asks_nothing():
    table = flow_table(steps=5, guidance=CFG(2.0))
    found = of(table)
    assert len(found) == 6
    assert (found[0].sources, found[0].draws, found[0].shared) == ((), ((POOL.draw(0), 0),), None)
    for row, instruction in enumerate(found[1:], start=1):
        assert instruction.sources == ((0, 1.0),) * 2
        assert instruction.shared == (0, 1.0)
        assert np.array_equal(instruction.times, table.model_time[row].astype(np.float32))


def test_coefficients_are_float32():
    for instruction in of(flow_table(Heun(), 4, CFG(3.0, rescale=0.5), DynamicThreshold())):
        row = instruction.row
        for terms in (row.vectors, row.registers, row.taps, *row.arguments):
            assert terms is None or terms.coefficients.dtype == np.float32


def test_draws_count_on_through_the_rows():
    found = of(flow_table(EulerAncestral(), 4))
    assert [draw for one in found for _, draw in one.draws] == [0, 1, 2, 3]
    assert found[-1].draws == ()  # the last step ends without noise
    assert [len(one.draws) for one in of(flow_table(DDIM(), 4))] == [1, 0, 0, 0, 0]


def test_the_pending_register_follows_the_renames():
    table = flow_table(DPMpp2M(), 6)
    assert [one.pending for one in of(table)] == table.rename[:, 0].tolist()


def test_pages_name_column_external_and_page():
    found = of(wide_table(2, 4, ("a", "b")))
    assert found[0].pages == ()
    assert found[1].pages == ((POOL.external(0), "a", 0), (POOL.external(1), "b", 0))
    assert [page for _, _, page in found[2].pages] == [1, 1]


def test_tapes_name_tape_and_page():
    found = of(wide_table(2, 3, taps=2))
    assert [one.tapes for one in found] == [(), *(((0, s), (1, s)) for s in range(3))]


def test_only_purely_linear_rows_are_plain():
    assert all(one.plain is not None for one in of(flow_table(Heun(), 3, CFG(2.0))))
    for table in (
        flow_table(steps=3, guidance=CFG(2.0, rescale=0.5)),
        flow_table(steps=3, operation=DynamicThreshold()),
        wide_table(2, 3, taps=1),
    ):
        assert [one.plain is None for one in of(table)] == [False, True, True, True]


def test_rules_and_quantiles_are_asked_only_where_rows_want_them():
    found = of(flow_table(steps=3, guidance=CFG(3.0, rescale=0.5)))
    assert [one.rule for one in found] == [0, 1, 1, 1]
    assert found[1].rule_args[:2] == (3.0, 0.5)
    assert not any(one.has_quantile for one in found)
    found = of(flow_table(steps=3, operation=DynamicThreshold()))
    assert [one.has_quantile for one in found] == [False, True, True, True]

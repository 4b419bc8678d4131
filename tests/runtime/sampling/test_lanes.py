"""Which branches are one evaluation, and what a network of several ports or scalars is asked."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.lanes import shared
from denoisert.runtime.sampling.oracle import execute
from tests.runtime.sampling.drafts import LAYOUT, assemble, blank, draws, network
from tests.runtime.shared import GUIDED, apart, told_table, variance_table


def pair_table(**changes):
    """Two stages whose two branches ask condition 0 for ports 0 and 1; `changes` set branch 1."""
    form = Form(2, 2)
    matrix = blank(form, 2)
    matrix[0, form.register_row(1), form.draw(1)] = 1.0
    matrix[1:, form.register_row(0), [0, form.branch(0), form.branch(1)]] = 0.8, 0.3, 0.5
    matrix[1, form.register_row(1), 1] = 1.0
    fields = {
        "condition": np.array([[-1, -1], [0, 0], [0, 0]]),
        "port": np.tile([0, 1], (3, 1)),
        "live": np.array([3, 3, 1]),
    }
    table = assemble(form, matrix, renames=False, **fields)
    for name, value in changes.items():
        values = getattr(table, name).copy()
        values[1:, 1] = value
        table = replace(table, **{name: values})
    return table


def test_branches_that_differ_in_their_port_alone_are_one_evaluation():
    table = pair_table()
    assert table.lanes == ((), ((0, 1),), ((0, 1),))
    assert table.nfe == 2
    assert repr(table) == "SamplerTable(stages=2, registers=2, branches=2, nfe=2)"


@pytest.mark.parametrize(
    "change",
    [
        {"condition": 1},
        {"engine": 1},
        {"model_time": 7.0},
        {"input_scale": 0.5},
        {"input_register": 1},
        *({"scalars": np.eye(4)[index]} for index in range(4)),
    ],
    ids=str,
)
def test_whatever_else_differs_is_another_evaluation(change):
    table = pair_table(**change)
    assert table.lanes == ((), ((0,), (1,)), ((0,), (1,)))
    assert table.nfe == 4


def test_equal_branches_are_one_evaluation():
    assert pair_table(port=0).lanes[1] == ((0, 1),)


def test_lanes_stand_in_the_order_of_their_first_branches():
    told = np.array([[[1.0], [2.0], [1.0], [3.0], [2.0]]])
    assert shared(np.array([[True] * 5]), told) == (((0, 2), (1, 4), (3,)),)
    assert shared(np.array([[False, True, True, True, True]]), told) == (((1, 4), (2,), (3,)),)


def test_a_number_that_is_none_equals_no_other():
    assert shared(np.array([[True, True]]), np.full((1, 2, 1), np.nan)) == (((0,), (1,)),)


@pytest.mark.parametrize("guidance", GUIDED, ids=repr)
def test_a_learned_variance_costs_no_evaluation_where_its_condition_is_asked(guidance):
    """With the scale 0 the first condition is asked for its variance alone."""
    table = variance_table(6, guidance)
    own, guided = (table.condition[:, index] >= 0 for index in (-1, 0))
    plain = int(np.count_nonzero(table.condition[:, :-1] >= 0))
    assert own.tolist() == [False] + [True] * 6
    assert table.nfe == plain + int(np.count_nonzero(own & ~guided))
    assert apart(table).nfe == plain + 6


def ported(latent, model_time, condition, scalars=()):
    """Two ports, of which the second is the first one at another time."""
    later = model_time + sum(300.0 * (index + 1) * told for index, told in enumerate(scalars))
    return tuple(network(latent, later + 50.0 * port, condition) for port in (0, 1))


def test_a_lane_is_asked_once_and_every_branch_reads_its_own_port():
    asked = []

    def spy(latent, model_time, condition):
        asked.append((model_time, condition))
        return ported(latent, model_time, condition)

    noise = draws(3)
    x = noise[0]
    for time in (100.0, 200.0):
        x = 0.8 * x + 0.3 * network(x, time, 0) + 0.5 * network(x, time + 50.0, 0)
    run = execute(pair_table(), LAYOUT, spy, noise)
    assert np.abs(run.latent - x).max() < 1e-14
    assert asked == [(100.0, 0), (200.0, 0)]
    assert run.evaluations == 2


@pytest.mark.parametrize("guidance", GUIDED, ids=repr)
def test_sharing_changes_no_bits(guidance):
    table, noise = variance_table(5, guidance), draws(4)

    def again(latent, model_time, condition):
        return ported(latent, model_time, condition if condition < own else 0)

    own = int(apart(table).condition.max())
    one = execute(table, LAYOUT, ported, noise)
    other = execute(apart(table), LAYOUT, again, noise)
    assert np.array_equal(one.latent, other.latent)
    assert (one.evaluations, other.evaluations) == (table.nfe, apart(table).nfe)


def test_a_port_that_no_network_answers_is_named():
    for answer in (network, lambda *asked: (network(*asked),)):
        with pytest.raises(InvalidInput, match=r"reads port 1 of a network that answers 1"):
            execute(pair_table(), LAYOUT, answer, draws(5))


def test_scalars_are_told_if_a_table_has_any():
    told = []

    def spy(latent, model_time, condition, *scalars):
        told.append(scalars)
        return network(latent, model_time, condition)

    execute(told_table([(0.5,), (0.0,), (0.25, 2.0)]), LAYOUT, spy, draws(6))
    assert told == [((0.5, 0.0, 0.0, 0.0),), ((0.0,) * 4,), ((0.25, 2.0, 0.0, 0.0),)]
    told.clear()
    execute(told_table([(0.0,), ()]), LAYOUT, spy, draws(6))
    assert told == [(), ()]


def test_told_scalars_reach_the_result():
    """Euler by hand: x' = x + (s - t) F on the linear path."""
    numbers, noise = [(0.5, 0.1), (0.25, 0.7), (0.125, 0.3)], draws(7)
    table = told_table(numbers, shift=1.0)
    x = noise[0]
    for step, (first, second) in enumerate(numbers):
        time = float(table.model_time[step + 1, 0])
        x = x - ported(x, time, 0, (first, second))[0] / 3
    found = execute(table, LAYOUT, ported, noise).latent
    assert np.abs(found - x).max() < 1e-12
    wrong = execute(
        told_table([(b, a) for a, b in numbers], shift=1.0), LAYOUT, ported, noise
    ).latent
    assert np.abs(wrong - x).max() > 0.05

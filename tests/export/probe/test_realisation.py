"""Minimal registers from linear forms: hand-made traces, random ones, and their replay."""

import numpy as np
import pytest

from denoisert.export.probe.realisation import realise
from denoisert.export.probe.trace import Kind, Trace

S, D, F = Kind.START, Kind.DRAW, Kind.OUTPUT


def trace_of(kinds, inputs, final):
    return Trace(
        np.array(inputs, float), np.array(final, float), tuple(kinds), (0.0,) * len(inputs)
    )


def literal(trace, values):
    """Every form of the trace at given values of the coordinates."""
    return trace.inputs @ values, trace.final @ values


def replayed(realisation, trace, values):
    """The same numbers out of the registers, coordinate by coordinate in order of appearance."""
    first, *rows = realisation.boundaries
    taken = iter(values.tolist())
    registers = first.registers[:, 0] * next(taken)
    for column in first.noise.T:
        registers = registers + column * next(taken)
    inputs = []
    for row in rows:
        inputs.append(registers[0])
        registers = row.registers @ registers + row.output * next(taken)
        for column in row.noise.T:
            registers = registers + column * next(taken)
    assert next(taken, None) is None
    return np.array(inputs), registers[0]


def plain(trace, pair=(0.0, 1.0)):
    return realise(trace, [pair] * trace.stages)


def test_euler_by_hand():
    """u_1 = 2 u_0 + 3 F_0, sample = u_1 - F_1 + 0.5 xi."""
    trace = trace_of([S, F, F, D], [[1, 0, 0, 0], [2, 3, 0, 0]], [2, 3, -1, 0.5])
    found = plain(trace)
    assert found.minimal == (1, 1, 1)
    first, second = found.boundaries[1:]
    np.testing.assert_allclose([first.registers[0, 0], first.output[0]], [2, 3], rtol=1e-15)
    np.testing.assert_allclose([second.registers[0, 0], second.output[0]], [1, -1], rtol=1e-15)
    np.testing.assert_allclose(second.noise, [[0.5]])
    assert found.residual < 1e-15


def test_a_history_takes_one_register_per_output():
    """Adams-Bashforth of order 3: u_{s+1} = u_s + 3 F_s - 2 F_{s-1} + F_{s-2}."""
    stages = 7
    kinds = [S, *[F] * stages]
    forms = [np.eye(1, stages + 1)[0]]
    for s in range(stages):
        step = np.zeros(stages + 1)
        for back, weight in enumerate([3, -2, 1][: s + 1]):
            step[1 + s - back] = weight
        forms.append(forms[-1] + step)
    trace = trace_of(kinds, forms[:-1], forms[-1])
    found = plain(trace)
    assert found.minimal == (1, 2, 3, 3, 3, 3, 2, 1)
    middle = found.boundaries[4]
    assert sum(np.array_equal(row, np.eye(3)[1]) for row in middle.registers) == 1  # a rename
    assert np.count_nonzero(middle.output) == 2  # the sum and the newest output


def test_registers_that_nobody_needs_are_not_kept():
    """Two outputs that only matter as their sum are one register."""
    kinds = [S, F, F, F]
    inputs = [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    found = plain(trace_of(kinds, inputs, [1, 1, 1, 1]))
    assert found.minimal == (1, 2, 2, 1)


def test_a_draw_that_is_used_after_an_evaluation_becomes_a_register():
    kinds = [S, D, F, F]
    found = plain(trace_of(kinds, [[1, 1, 0, 0], [0, 0, 1, 0]], [0, -1, 0, 1]))
    assert found.minimal == (2, 2, 1)
    np.testing.assert_allclose(np.abs(found.boundaries[0].noise), [[1], [1]])


def test_draws_before_the_first_stage_belong_to_the_prologue():
    trace = trace_of([S, D, F], [[1, 0.5, 0]], [1, 0.5, 1])
    assert trace.drawn(0) == [1]
    assert trace.drawn(1) == []
    found = plain(trace)
    np.testing.assert_allclose(found.boundaries[0].noise, [[0.5]])


def test_a_draw_without_gain_keeps_its_column():
    found = plain(trace_of([S, F, D], [[1, 0, 0]], [0, 1, 0]))
    assert found.boundaries[1].noise.shape == (1, 1)
    assert not found.boundaries[1].noise.any()


def test_clean_estimates_are_remembered_as_such():
    """A sampler that keeps p u + q F gets the pair as a register and not F."""
    p, q = 1.25, -0.75
    inputs = [[1, 0, 0, 0], [0.5, 0.4, 0, 0], [0.3, 0.2, 0.1, 0]]
    final = 0.7 * np.array(inputs[2]) + 0.9 * np.array([p, q, 0, 0]) + [0, 0, 0, 0.6]
    found = plain(trace_of([S, F, F, F], inputs, final), (p, q))
    assert found.minimal == (1, 2, 2, 1)
    np.testing.assert_allclose(found.boundaries[3].registers, [[0.7, 0.9]], rtol=1e-13)


@pytest.mark.parametrize("seed", range(12))
def test_random_machines_are_found_with_as_few_registers(seed):
    """Run a random register machine on coordinates; its realisation gives the same numbers."""
    rng = np.random.default_rng(seed)
    width, stages = int(rng.integers(1, 5)), int(rng.integers(3, 9))
    kinds, forms = [S], []
    state = np.zeros((width, 1 + 2 * stages))
    state[0, 0] = 1.0
    for stage in range(stages):
        forms.append(state[0].copy())
        kinds += [F, D]
        state = rng.standard_normal((width, width)) @ state
        state[:, 1 + 2 * stage] += rng.standard_normal(width)
        state[:, 2 + 2 * stage] += rng.standard_normal(width)
    trace = trace_of(kinds, forms, state[0])
    found = plain(trace)
    assert max(found.minimal) <= width
    assert found.residual < 1e-9
    values = rng.standard_normal(len(kinds))
    inputs, final = replayed(found, trace, values)
    expected = literal(trace, values)
    scale = np.abs(trace.final).sum() + np.abs(trace.inputs).sum(axis=1).max()
    np.testing.assert_allclose(inputs, expected[0], atol=1e-9 * scale)
    np.testing.assert_allclose(final, expected[1], atol=1e-9 * scale)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_well_mixed_machine_needs_all_its_registers(width):
    rng = np.random.default_rng(width)
    stages = 10
    kinds, forms = [S], []
    state = np.zeros((width, 1 + stages))
    state[0, 0] = 1.0
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    for stage in range(stages):
        forms.append(state[0].copy())
        kinds.append(F)
        state = turn @ state
        state[:, 1 + stage] += rng.standard_normal(width)
    found = plain(trace_of(kinds, forms, state[0]))
    assert max(found.minimal) == width
    assert found.residual < 1e-13


def test_rounding_makes_no_false_register():
    """Many one-register steps over six orders of magnitude stay one register each."""
    stages = 60
    levels = np.geomspace(1e3, 1e-3, stages + 1)
    kinds = [S, *[F] * stages]
    forms = [levels[0] * np.eye(1, stages + 1)[0]]
    for s in range(stages):
        ratio = levels[s + 1] / levels[s]
        step = ratio * forms[-1]
        step[1 + s] += 1.0 - ratio
        forms.append(step)
    found = plain(trace_of(kinds, forms[:-1], forms[-1]))
    assert found.minimal == (1,) * (stages + 1)
    assert found.residual < 1e-13

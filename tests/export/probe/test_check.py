"""The verification itself: it must see every coefficient, and name where it goes wrong."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.export.probe import Start, probe_function
from denoisert.export.probe.canonical import canonical
from denoisert.export.probe.check import (
    ELEMENTS,
    RandomNetwork,
    Trial,
    relative,
    replay,
    rounding,
    verify_registers,
    verify_rows,
)
from denoisert.export.probe.foreign import Width
from denoisert.export.probe.function import FunctionSource
from denoisert.export.probe.probe import registers
from denoisert.export.probe.realisation import Boundary, Realisation
from denoisert.runtime.errors import ParityError
from tests.export.probe import samplers

SIGMAS = [10.0, 4.0, 1.5, 0.5, 0.0]


def source_of(sample, **options):
    return FunctionSource(sample, SIGMAS, options)


def perturbed(realisation, boundary, name, index, size=1e-6):
    """The same registers with one coefficient off."""
    row = realisation.boundaries[boundary]
    values = getattr(row, name).copy()
    values[index] += size
    fields = {"registers": row.registers, "output": row.output, "noise": row.noise, name: values}
    rows = list(realisation.boundaries)
    rows[boundary] = Boundary(**fields)
    return Realisation(tuple(rows), realisation.residual)


def test_what_the_probe_makes_is_accepted():
    for sample in (samplers.heun, samplers.dpmpp_sde, samplers.euler_ancestral):
        source = source_of(sample)
        forms, realisation = registers(source)
        assert verify_registers(source, realisation, forms.times, 5) < 1e-13


@pytest.mark.parametrize(
    ("boundary", "name", "index", "where"),
    [
        (1, "output", 0, "stage 1"),
        (2, "registers", (0, 0), "stage 2"),
        (3, "noise", (0, 0), "stage 3"),
        (4, "registers", (0, 0), "the sample after stage 3"),
    ],
)
def test_every_wrong_coefficient_is_found_at_its_stage(boundary, name, index, where):
    source = source_of(samplers.euler_ancestral)
    forms, realisation = registers(source)
    with pytest.raises(ParityError, match=rf"euler_ancestral: .*{where} deviates by"):
        verify_registers(source, perturbed(realisation, boundary, name, index), forms.times, 5)


def test_a_missing_stage_is_found():
    source = source_of(samplers.euler_ancestral)
    forms, realisation = registers(source)
    short = Realisation(realisation.boundaries[:-1], 0.0)
    with pytest.raises(ParityError, match="asked its network 4 times, and 3 times"):
        verify_registers(source, short, forms.times[:-1], 5)


def test_the_folded_rows_are_checked_too():
    source = source_of(samplers.heun)
    _, realisation = registers(source)
    rows = canonical(realisation, source.marks(), source.meaning, Start.NOISE)
    assert verify_rows(source, rows, Start.NOISE, 9) < 1e-13
    wrong = rows.registers.copy()
    wrong[3, 0, 0] += 1e-7
    with pytest.raises(ParityError, match="the sample of the table deviates"):
        verify_rows(source, replace(rows, registers=wrong), Start.NOISE, 9)


def test_trials_differ_by_seed_and_repeat_by_seed():
    source = source_of(samplers.euler_ancestral)
    first, again, other = (Trial(seed).sample(source) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_the_network_is_not_linear_and_hears_the_time():
    network = RandomNetwork(np.random.default_rng(0))
    x, y = np.random.default_rng(1).standard_normal((2, ELEMENTS))
    together = network(x + y, 10.0)
    assert np.abs(together - network(x, 10.0) - network(y, 10.0)).max() > 0.1
    assert np.abs(network(x, 10.0) - network(x, 900.0)).max() > 1e-2


def test_replay_takes_draws_in_order():
    source = source_of(samplers.dpmpp_sde)
    forms, realisation = registers(source)
    trial = Trial(3)
    expected = trial.sample(source)
    inputs, final = replay(realisation, trial, forms.times, 1.0)
    np.testing.assert_allclose(final, expected, rtol=1e-12)
    np.testing.assert_allclose(inputs, trial.inputs, rtol=1e-12, atol=1e-12)


def test_rounding_is_what_the_source_loses_in_float32():
    source = source_of(samplers.heun)
    probed = probe_function(samplers.heun, SIGMAS)
    found = rounding(source, probed.pinned, Start.NOISE, 4)
    assert 1e-9 < found < 1e-5
    single = Trial(4).sample(source, Width.AS_WRITTEN)
    assert relative(single, Trial(4).sample(source)) == pytest.approx(found, rel=1e-3)


def test_relative_error_of_what_is_not_finite():
    assert relative(np.array([1.0, np.nan]), np.ones(2)) == np.inf
    assert relative(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == 0.25

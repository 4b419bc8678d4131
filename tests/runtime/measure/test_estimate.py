"""Sums of expected times."""

import pytest

from denoisert.runtime.measure.estimate import NOTHING, Basis, Estimate

MEASURED = Estimate(2.0, Basis.MEASURED)
MODELLED = Estimate(0.5, Basis.MODELLED)


def test_times_add_and_the_weakest_basis_holds():
    assert Estimate(4.0, Basis.MEASURED) == MEASURED + MEASURED
    assert MEASURED + MODELLED == MODELLED + MEASURED == Estimate(2.5, Basis.MODELLED)
    assert MEASURED + Estimate() == Estimate() + MODELLED == Estimate()
    assert NOTHING + MODELLED == MODELLED


def test_a_time_many_times():
    assert Estimate(3.0, Basis.MODELLED) == MODELLED * 6
    assert Estimate() * 3 == Estimate()


@pytest.mark.parametrize("estimate", [MEASURED, MODELLED, Estimate()])
def test_what_is_not_called_costs_nothing_and_is_known(estimate):
    assert estimate * 0 == NOTHING


def test_the_text_names_the_basis_or_what_to_do():
    assert str(MEASURED) == "2.000 s (measured)"
    assert str(MODELLED) == "0.500 s (modelled)"
    assert "denoisert warm" in str(Estimate())

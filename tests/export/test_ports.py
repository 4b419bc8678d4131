"""Ports of a graph against the card, and the one name for free dimensions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from denoisert.export.graph.ports import check_ports, graph_lanes
from denoisert.export.graph.signature import LANES, denoiser_signature
from denoisert.export.random_inputs import draw_times, fit_inputs
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.schedules import Flow, Linear
from tests.export.networks import TWO_PARTS_CARD, card_of

INPUTS = (
    Port("latent", "float32", (LANES, 2, 6, 6)),
    Port("time", "float32", (LANES,)),
    Port("label", "int64", (LANES,)),
)
OUTPUTS = (Port("velocity", "float32", (LANES, 2, 6, 6)),)
SIGNATURE = denoiser_signature(card_of())


def with_dims(ports: tuple[Port, ...], name: str, *dims: int | str) -> tuple[Port, ...]:
    return tuple(dataclasses.replace(p, dims=dims) if p.name == name else p for p in ports)


def test_the_card_names_inputs_and_outputs() -> None:
    assert set(SIGNATURE.inputs) == set(INPUTS)
    assert denoiser_signature(TWO_PARTS_CARD).output_names == ("mixed", "scaled")


def test_fitting_ports_are_accepted() -> None:
    check_ports(SIGNATURE, INPUTS, OUTPUTS)
    assert graph_lanes(SIGNATURE, INPUTS) == LANES
    fixed = tuple(dataclasses.replace(p, dims=(3, *p.dims[1:])) for p in (*INPUTS, *OUTPUTS))
    check_ports(SIGNATURE, fixed[:3], fixed[3:])
    assert graph_lanes(SIGNATURE, fixed[:3]) == 3


@pytest.mark.parametrize(
    ("name", "dims", "words"),
    [
        ("latent", (LANES, 2, 6, 7), "correct the card's shape"),
        ("latent", (LANES, 2, 36), "correct the card's shape"),
        ("latent", (2, 2, 6, 6), "numbers of lanes differ"),
        ("label", (), "numbers of lanes differ"),
        ("label", (LANES, 1), "correct the card's shape"),
        ("time", (LANES, 1), "export the graph with one time per lane"),
        ("time", (), 'set "time_shape" to "scalar"'),
    ],
)
def test_other_inputs_are_refused(name: str, dims: tuple[int | str, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_ports(SIGNATURE, with_dims(INPUTS, name, *dims), OUTPUTS)


@pytest.mark.parametrize(
    "dims",
    [(LANES, 1, 6, 6), (LANES, 2, 6), (LANES, 2, 6, 5), (1, 2, 6, 6), (LANES, "c", 6, 6), ()],
)
def test_other_outputs_are_refused(dims: tuple[int | str, ...]) -> None:
    with pytest.raises(InvalidInput, match="'velocity' has shape"):
        check_ports(SIGNATURE, INPUTS, with_dims(OUTPUTS, "velocity", *dims))


def test_more_channels_than_the_card_reads_are_accepted() -> None:
    check_ports(SIGNATURE, INPUTS, with_dims(OUTPUTS, "velocity", LANES, 4, 6, 6))


def test_drawn_inputs_fit_the_card() -> None:
    conditions = (
        ConditionInput("label", Source.CLASS_LABEL, "int64", (), 3, 5.0),
        ConditionInput("tokens", Source.EXTERNAL_ARRAY, "float32", (4, 2)),
        ConditionInput("mask", Source.MASK, "bool", (4,)),
    )
    card = card_of(conditions=conditions)
    drawn = denoiser_signature(card).draw(300, np.random.default_rng(1))
    for port in denoiser_signature(card).inputs:
        assert drawn[port.name].shape == port.shape(300)
        assert drawn[port.name].dtype.name == port.dtype
    assert set(drawn["label"]) == {0, 1, 2, 5}, "with the null class"
    assert set(drawn["mask"].reshape(-1)) == {False, True}
    assert drawn["tokens"].std() == pytest.approx(1.0, abs=0.1)


def test_drawn_inputs_are_fresh_unless_the_generator_is_the_same() -> None:
    first, again = (SIGNATURE.draw(2, np.random.default_rng(8)) for _ in range(2))
    np.testing.assert_array_equal(first["latent"], again["latent"])
    other = SIGNATURE.draw(2, np.random.default_rng(9))
    assert not np.array_equal(first["latent"], other["latent"])


def test_times_are_those_of_training() -> None:
    generator = np.random.default_rng(2)
    flow = draw_times(card_of(schedule=Flow(time_scale=7.0)), (500,), generator)
    assert 6 < flow.max() <= 7
    assert 0 <= flow.min() < 1
    whole = draw_times(card_of(schedule=Linear()), (500,), generator)
    np.testing.assert_array_equal(whole, np.round(whole))
    assert 900 < whole.max() <= 999
    card = card_of()
    few = dataclasses.replace(card.training, timesteps=(0.25, 1.0), distilled=True)
    chosen = draw_times(dataclasses.replace(card, training=few), (50,), generator)
    assert set(chosen) == {0.25, 1.0}


@pytest.mark.parametrize("dims", [(), (1,)])
def test_a_scalar_time_takes_the_shape_that_the_graph_wants(dims: tuple[int, ...]) -> None:
    card = card_of(time_shape=TimeShape.SCALAR)
    drawn = denoiser_signature(card).draw(4, np.random.default_rng(3))
    ports = with_dims(INPUTS, "time", *dims)
    fitted = fit_inputs(drawn, ports)
    assert fitted["time"].shape == dims
    assert fitted["latent"] is drawn["latent"]

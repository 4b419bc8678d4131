"""Parity: what is measured, what is refused, and inputs that prove nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denoisert.export.graph.signature import MORE, denoiser_signature
from denoisert.export.parity import (
    BOUND,
    draw_trials,
    find_dead_inputs,
    measure,
    relative_error,
)
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import ParityError
from denoisert.runtime.layout import Part, StateLayout
from tests.export.networks import card_of

SIGNATURE = denoiser_signature(card_of())
WIDE = StateLayout((Part("latent", (2, 6, 10)),))
SIZED = denoiser_signature(replace(card_of(), further=(WIDE,)))
PORTS = SIGNATURE.inputs

Arrays = dict[str, np.ndarray]


def network(inputs: Arrays) -> Arrays:
    gain = (1 + inputs["time"] + inputs["label"])[:, None, None, None]
    return {"velocity": np.tanh(inputs["latent"]) * gain}


def generator() -> np.random.Generator:
    return np.random.default_rng(17)


def test_an_equal_graph_has_parity_zero_and_every_number_of_lanes_is_tried() -> None:
    trials = draw_trials(SIGNATURE, PORTS, network, generator())
    assert tuple(len(trial.inputs["latent"]) for trial in trials) == MORE
    (figure,) = measure("denoiser", "graph", trials, network)
    assert (figure.graph, figure.output, figure.relative_error) == ("graph", "velocity", 0.0)


def test_the_figure_is_the_largest_error_relative_to_the_largest_value() -> None:
    trials = draw_trials(SIGNATURE, PORTS, network, generator())

    def shifted(inputs: Arrays) -> Arrays:
        value = network(inputs)["velocity"].copy()
        if len(value) == 2:
            value[1, 1, 2, 3] += 0.5 * BOUND * np.abs(value).max()
        return {"velocity": value}

    (figure,) = measure("denoiser", "graph", trials, shifted)
    assert figure.relative_error == pytest.approx(0.5 * BOUND, rel=1e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value * (1 + 2 * BOUND),
        lambda value: -value,
        lambda value: value[::-1],
        lambda value: value[:, :1],
        lambda value: np.where(value > value.min(), value, np.nan),
    ],
)
def test_a_wrong_graph_is_refused_with_its_figure(spoil) -> None:
    trials = draw_trials(SIGNATURE, PORTS, network, generator())
    with pytest.raises(
        ParityError, match=r"'velocity' of the denoiser's onnxruntime differs .* by (inf|\d\.\d)"
    ):
        measure(
            "denoiser", "onnxruntime", trials, lambda x: {"velocity": spoil(network(x)["velocity"])}
        )


def test_a_source_with_values_that_are_not_finite_is_refused() -> None:
    def broken(inputs: Arrays) -> Arrays:
        return {"velocity": network(inputs)["velocity"] / 0.0}

    with (
        np.errstate(divide="ignore", invalid="ignore"),
        pytest.raises(ParityError, match="not finite"),
    ):
        draw_trials(SIGNATURE, PORTS, broken, generator())


def test_a_fixed_number_of_lanes_is_the_only_one_tried() -> None:
    ports = tuple(Port(port.name, port.dtype, (4, *port.dims[1:])) for port in PORTS)
    trials = draw_trials(SIGNATURE, ports, network, generator())
    assert [len(trial.inputs["latent"]) for trial in trials] == [4]


@pytest.mark.parametrize("name", ["latent", "time", "label"])
def test_an_input_that_changes_nothing_is_named(name: str) -> None:
    def deaf(inputs: Arrays) -> Arrays:
        constant = np.ones_like(inputs[name])
        return network({**inputs, name: constant})

    notes = list(find_dead_inputs(SIGNATURE, PORTS, deaf, generator()))
    assert len(notes) == 1
    assert f"input '{name}' hardly changes" in notes[0]
    assert not list(find_dead_inputs(SIGNATURE, PORTS, network, generator()))


def test_an_output_of_zeros_is_named() -> None:
    def silent(inputs: Arrays) -> Arrays:
        return {"velocity": 0 * inputs["latent"]}

    notes = list(find_dead_inputs(SIGNATURE, PORTS, silent, generator()))
    assert "output 'velocity' is zero everywhere: parity on it proves nothing." in notes
    by_nature = replace(SIGNATURE, zeros=("velocity",))
    assert not any(
        "zero" in note for note in find_dead_inputs(by_nature, PORTS, silent, generator())
    )


@pytest.mark.parametrize(
    ("found", "reference", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
    ],
)
def test_relative_error(found: list[float], reference: list[float], error: float) -> None:
    result = relative_error(np.array(found, np.float32), np.array(reference, np.float32))
    assert result == pytest.approx(error)


def test_every_size_is_tried() -> None:
    trials = draw_trials(SIZED, SIZED.inputs, network, generator())
    shapes = [trial.inputs["latent"].shape for trial in trials]
    assert shapes == [*((lanes, 2, 6, 6) for lanes in MORE), (1, 2, 6, 10)]


def test_a_graph_that_is_wrong_at_one_size_is_refused() -> None:
    trials = draw_trials(SIZED, SIZED.inputs, network, generator())

    def narrow(inputs: Arrays) -> Arrays:
        value = network(inputs)["velocity"]
        return {"velocity": value if value.shape[-1] == 6 else value * 1.01}

    with pytest.raises(ParityError, match="'velocity'"):
        measure("denoiser", "graph", trials, narrow)


def test_dead_inputs_are_looked_for_at_the_default_size() -> None:
    seen = []

    def spied(inputs: Arrays) -> Arrays:
        seen.append(inputs["latent"].shape[2:])
        return {"velocity": network(inputs)["velocity"] + 0 * inputs["time"].sum()}

    assert not list(find_dead_inputs(SIZED, SIZED.inputs, spied, generator()))
    assert set(seen) == {(6, 6)}

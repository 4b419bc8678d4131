"""A denoiser in two halves as parts of a bundle: what each is asked, and what the second proves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denoisert.export.division import Division
from denoisert.export.graph.ports import check_ports, read_ports
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.parity import draw_trials, find_dead_inputs, measure
from denoisert.export.random_inputs import Arrays
from denoisert.runtime.bundle.card import OutputSlice
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import ParityError
from denoisert.runtime.layout import Part
from tests.export.cross_attention import ROWS, TOKENS, WIDTH, attention
from tests.export.networks import card_of
from tests.export.running import run_model

TEXT = ConditionInput("text", Source.EXTERNAL_ARRAY, "float32", (TOKENS, 64))
CARD = card_of((Part("x", (ROWS, WIDTH)),), ((OutputSlice("y", 0, ROWS),),), conditions=(TEXT,))
SIGNATURE = denoiser_signature(CARD)
MODEL = attention()
PORTS = read_ports(MODEL.graph.inputs)


def divided() -> Division:
    division = Division.of(MODEL, SIGNATURE, CARD)
    assert division is not None
    return division


def conditioner(inputs: Arrays) -> Arrays:
    return run_model(divided().hoisted.conditioner, inputs)


def denoiser(inputs: Arrays) -> Arrays:
    return run_model(divided().hoisted.denoiser, inputs)


def generator() -> np.random.Generator:
    return np.random.default_rng(11)


def trials() -> tuple:
    return draw_trials(SIGNATURE, PORTS, lambda inputs: run_model(MODEL, inputs), generator())


def test_both_halves_have_the_ports_of_their_signatures() -> None:
    division = divided()
    halves = division.parts(trials(), conditioner)
    names = [signature.component for signature, _ in halves]
    assert names == list(division.graphs) == ["conditioner", "denoiser"]
    for (signature, _), model in zip(halves, division.graphs.values(), strict=True):
        inputs, outputs = read_ports(model.graph.inputs), read_ports(model.graph.outputs)
        assert signature.inputs == inputs
        check_ports(signature, inputs, outputs)
    assert [port.name for port in halves[0][0].inputs] == ["text"]
    assert [port.name for port in halves[1][0].inputs] == ["x", "time", "key", "value"]
    assert f"{division.hoisted.share:.1%}" in division.note


def test_the_second_half_is_compared_with_the_source_on_what_the_first_gave() -> None:
    whole = trials()
    (_, first), (_, second) = divided().parts(whole, conditioner)
    assert len(first) == len(second) == len(whole)
    for one, told, fed in zip(whole, first, second, strict=True):
        assert set(told.inputs) == {"text"}
        assert fed.expected is one.expected
        np.testing.assert_array_equal(fed.inputs["key"], told.expected["key"])
    assert all(figure.relative_error == 0 for figure in measure("denoiser", "g", second, denoiser))


def test_a_wrong_first_half_is_found() -> None:
    def wrong(inputs: Arrays) -> Arrays:
        return {**conditioner(inputs), "key": 1.01 * conditioner(inputs)["key"]}

    _, (_, second) = divided().parts(trials(), wrong)
    with pytest.raises(ParityError):
        measure("denoiser", "graph", second, denoiser)


def test_each_half_draws_what_it_takes() -> None:
    halves = divided().parts(trials(), conditioner)
    for signature, _ in halves:
        drawn = signature.draw(3, generator())
        assert {name: values.shape for name, values in drawn.items()} == {
            port.name: port.shape(3) for port in signature.inputs
        }


def test_an_input_that_proves_nothing_is_reported_by_the_half_that_takes_it() -> None:
    still = replace(CARD.training, timesteps=(0.0, 1e-9))
    card = replace(CARD, training=still)
    division = Division.of(MODEL, denoiser_signature(card), card)
    assert division is not None
    asked = trials()
    (first, _), (second, _) = division.parts(asked, conditioner)
    of_loop = list(find_dead_inputs(second, second.inputs, denoiser, generator()))
    assert all("'key'" not in note and "'value'" not in note for note in of_loop)
    deaf = list(
        find_dead_inputs(
            first, first.inputs, lambda told: conditioner({"text": 0 * told["text"]}), generator()
        )
    )
    assert any("'text'" in note for note in deaf)


def test_what_lies_beside_the_latent_stays_with_it() -> None:
    picture = replace(TEXT, source=Source.EXTERNAL_PICTURE)
    card = replace(CARD, conditions=(picture,))
    assert Division.of(MODEL, denoiser_signature(card), card) is None


def test_a_denoiser_without_anything_to_divide_stays_whole() -> None:
    wide = attention(rows=2500)
    assert Division.of(wide, SIGNATURE, CARD) is None
    assert Division.of(wide, SIGNATURE, CARD, smallest_share=0.0) is not None

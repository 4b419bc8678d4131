"""Networks that are told their guidance scale, alone and beside what solvers tell them."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import CFG, EmbeddedGuidance, Request
from denoisert.runtime.bundle.card import Network, OutputSlice, Recommended, TimeShape
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.names import GUIDANCE
from denoisert.runtime.sampling.notation import from_dict, parse, to_dict
from denoisert.runtime.sampling.schedules import Trailing
from denoisert.runtime.sampling.solvers import FlowEuler, FlowMap, Shortcut
from tests.runtime.networks import perceptron
from tests.runtime.spies import alone, bound, error, exact, work

PORTS = ((OutputSlice("out_latent", 0, 2),),)
STEPS = 4


def card_of(*scalars: str, guidance: str = "scale"):
    network = Network("time", TimeShape.LANES, "float32", PORTS, scalars, guidance)
    advice = Recommended(FlowEuler(), Trailing(), STEPS, EmbeddedGuidance(3.5))
    return perceptron(scalars=scalars).card(network=network, sampler=advice)


def table_of(card, solver=None, guidance=None):
    asked = Request(3, steps=STEPS, solver=solver, guidance=guidance)
    return compile_table(Sampler.of(asked, card), card)


def test_every_stage_is_told_the_scale_in_one_branch():
    table = table_of(card_of("scale"))
    assert table.form.branches == 1
    assert table.nfe == STEPS
    np.testing.assert_array_equal(table.scalars[1:, 0], [[3.5, 0, 0, 0]] * STEPS)
    assert not table.scalars[0].any()


@pytest.mark.parametrize(("names", "place"), [(("step", "scale"), 1), (("scale", "step"), 0)])
def test_a_step_and_a_scale_are_told_together(names, place):
    """Each by its own input, whatever stands first on the card."""
    card = card_of(*names)
    table = table_of(card, FlowMap(), EmbeddedGuidance(2.0))
    plain = table_of(card_of("step", guidance=""), FlowMap(), Unguided())
    np.testing.assert_array_equal(table.scalars[1:, 0, place], 2.0)
    np.testing.assert_array_equal(table.scalars[:, :, 1 - place], plain.scalars[:, :, 0])
    alone_told = table_of(card, FlowEuler(), EmbeddedGuidance(2.0))
    np.testing.assert_array_equal(alone_told.scalars[1:, 0, place], 2.0)
    assert not alone_told.scalars[:, :, 1 - place].any()


def test_branches_beside_it_are_all_told():
    guidance = EmbeddedGuidance(3.0, beside=CFG(2.0))
    table = table_of(card_of("scale"), guidance=guidance)
    assert table.nfe == 2 * STEPS
    np.testing.assert_array_equal(table.scalars[1:, :, 0], 3.0)
    np.testing.assert_array_equal(table.condition[1:], [[0, 1]] * STEPS)


@pytest.mark.parametrize("solver", [FlowEuler(), FlowMap()], ids=repr)
def test_the_network_hears_it(solver, tmp_path):
    """Through the loop it answers as in float64, and another scale is another picture."""
    names = ("step", "scale")
    toy, card = perceptron(seed=5, scalars=names), card_of(*names)
    found = []
    for scale in (3.5, 1.0):
        table = table_of(card, solver, EmbeddedGuidance(scale))
        each = work(table, seed=11)
        found.append(alone(toy.denoiser(tmp_path), each).latent)
        assert error(found[-1], exact(toy, each).latent) <= bound(table)
    assert error(found[0], found[1]) > 0.1


@pytest.mark.parametrize("solver", [Shortcut(), FlowMap()], ids=repr)
def test_a_step_that_no_input_takes_is_refused(solver):
    """Also a step of 0, which as a number would go unnoticed."""
    card = card_of("scale")
    sampler = Sampler.of(Request(3, steps=1, solver=solver), card)
    with pytest.raises(InvalidInput, match="has inputs for 0"):
        compile_table(sampler, card)


@pytest.mark.parametrize("guidance", [Unguided(), CFG(2.0)], ids=repr)
def test_a_network_that_takes_a_scale_has_to_be_told_one(guidance):
    with pytest.raises(InvalidInput, match=r"Use EmbeddedGuidance\(scale\)"):
        table_of(card_of("scale"), guidance=guidance)


def test_a_network_without_an_input_for_it():
    with pytest.raises(InvalidInput, match=r"no input for one\. Use CFG"):
        table_of(card_of("step", guidance=""), guidance=EmbeddedGuidance(2.0))


def test_what_makes_no_sense():
    with pytest.raises(InvalidInput, match="finite"):
        EmbeddedGuidance(float("inf"))
    with pytest.raises(InvalidInput, match="told one scale"):
        EmbeddedGuidance(2.0, beside=EmbeddedGuidance(3.0))
    with pytest.raises(InvalidInput, match="none of the scalar inputs 'step'"):
        replace(card_of("step", guidance="").network, guidance="scale")


def test_it_goes_to_json_and_text_and_back():
    guidance = EmbeddedGuidance(4.0, beside=CFG(2.0))
    assert from_dict(to_dict(guidance), GUIDANCE) == guidance
    assert parse(GUIDANCE, "embedded(scale=4, beside=cfg(scale=2))") == guidance
    card = card_of("scale")
    assert type(card).from_json(card.to_json()) == card

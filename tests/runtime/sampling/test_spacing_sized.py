"""Shifts that follow from the size of a latent, however deep they lie in a spacing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import Request
from denoisert.runtime.bundle.card import Recommended
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampler import Sampler, TableCache, compile_table
from denoisert.runtime.sampling.names import SPACINGS
from denoisert.runtime.sampling.notation import from_dict, parse, to_dict
from denoisert.runtime.sampling.schedules import (
    Before,
    BetweenEnds,
    Flow,
    Growth,
    Karras,
    Measure,
    ResolutionShifted,
    Stretched,
    Timesteps,
    Trailing,
)
from denoisert.runtime.sampling.schedules.sized import spacing_of
from denoisert.runtime.sampling.solvers import FlowEuler
from tests.runtime.networks import perceptron

SHIFT = ResolutionShifted(Trailing(), base_tokens=4, max_tokens=64, edge=2)
NESTED = (
    SHIFT,
    Stretched(SHIFT, 0.1),
    Before(Stretched(SHIFT, 0.1), 0.5),
    BetweenEnds(Karras(measure=Measure.TIME), SHIFT),
)


def tokens_in(spacing):
    """Of the shift, wherever it lies."""
    while not isinstance(spacing, ResolutionShifted):
        spacing = getattr(spacing, "ends", None) or spacing.spacing
    return spacing.tokens


@pytest.mark.parametrize("spacing", NESTED, ids=lambda spacing: type(spacing).__name__)
@pytest.mark.parametrize(
    ("shape", "tokens"), [((16, 8, 8), 16), ((16, 12, 8), 24), ((4, 5, 7), 6), ((16, 3, 8, 8), 48)]
)
def test_the_tokens_are_those_of_the_latent(spacing, shape, tokens):
    found = spacing_of(spacing, shape)
    assert tokens_in(found) == tokens
    assert type(found) is type(spacing)
    assert spacing_of(found, (16, 8, 8)) == spacing_of(spacing, (16, 8, 8)), "whatever it was of"


@pytest.mark.parametrize(
    "spacing",
    [Trailing(), replace(SHIFT, edge=None), Stretched(Trailing(), 0.1), Timesteps((1.0, 0.4))],
    ids=str,
)
def test_nothing_else_changes(spacing):
    assert spacing_of(spacing, (16, 8, 8)) == spacing


def test_a_vector_has_no_size():
    assert spacing_of(SHIFT, (16,)) == SHIFT
    assert spacing_of(SHIFT, (16, 8)) == SHIFT


@pytest.mark.parametrize("growth", Growth)
def test_the_shift_is_that_of_these_tokens(growth):
    spacing = replace(SHIFT, base_shift=0.35, max_shift=0.9, growth=growth)
    mu = 0.35 + (0.9 - 0.35) * (24 - 4) / (64 - 4)
    found = spacing_of(spacing, (16, 12, 8))
    assert found.mu == pytest.approx(mu, rel=1e-14)
    shift = math.exp(mu) if growth is Growth.EXPONENTIAL else mu
    wanted = Trailing().grid(Flow(shift), 5)
    np.testing.assert_allclose(found.grid(Flow(), 5).sigma, wanted.sigma, rtol=1e-14)


def test_one_card_has_a_shift_for_each_of_its_sizes():
    card = sized_card()
    found = [Sampler.of(Request(3, size=size), card) for size in ((8, 8), (12, 8), None)]
    assert [sampler.spacing.tokens for sampler in found] == [16, 24, 16]
    cache = TableCache(card)
    first, second, default = map(cache.table, found)
    assert first is default
    assert not np.array_equal(first.model_time, second.model_time)
    wanted = compile_table(replace(found[0], spacing=replace(SHIFT, tokens=24)), card)
    assert np.array_equal(second.model_time, wanted.model_time)


def test_so_has_a_schedule_that_the_request_brings():
    asked = Request(3, size=(12, 8), schedule=Stretched(replace(SHIFT, max_shift=2.0), 0.2))
    assert tokens_in(Sampler.of(asked, sized_card()).spacing) == 24
    pinned = Request(3, size=(12, 8), schedule=replace(SHIFT, edge=None, tokens=9))
    assert tokens_in(Sampler.of(pinned, sized_card()).spacing) == 9


def sized_card():
    toy = perceptron()
    first, second = (StateLayout((Part("latent", (2, *size)),)) for size in ((8, 8), (12, 8)))
    advice = Recommended(FlowEuler(), SHIFT, 4)
    card = toy.card(sampler=advice)
    ports = ((replace(card.network.ports[0][0], channels=2),),)
    network = replace(card.network, ports=ports)
    return replace(card, network=network, layout=first, further=(second,))


def test_a_size_that_gives_no_shift_is_refused():
    linear = replace(SHIFT, base_shift=0.05, max_shift=1.15, growth=Growth.LINEAR)
    with pytest.raises(InvalidInput, match=r"Growth\.EXPONENTIAL"):
        spacing_of(linear, (16, 2, 2))
    with pytest.raises(InvalidInput, match="tokens above 0"):
        spacing_of(SHIFT, (16, 1, 8))
    with pytest.raises(InvalidInput, match="edge of at least 1"):
        replace(SHIFT, edge=0)


def test_it_goes_to_json_and_text_and_back():
    assert from_dict(to_dict(SHIFT), SPACINGS) == SHIFT
    assert parse(SPACINGS, "resolution_shifted(edge=2, base_tokens=4, max_tokens=64)") == SHIFT
    known = {key: value for key, value in to_dict(SHIFT).items() if key != "edge"}
    assert from_dict(known, SPACINGS) == replace(SHIFT, edge=None), "as older cards have it"

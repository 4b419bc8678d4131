"""A latent consistency model: compiled, and equal to diffusers' pipeline on our noise."""

from dataclasses import replace

import pytest

from denoisert.runtime import CFG, EmbeddedGuidance, Request
from denoisert.runtime.errors import InvalidInput
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.folders import FAMILIES
from tests.export.families.oracles import text_to_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

STUDENT = "lcm"
LIVE = 0.1


def request(scale, **choices):
    asked = FAMILIES[STUDENT].request(**choices)
    return replace(asked, guidance=EmbeddedGuidance(scale))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scale", [1.0, 8.5])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("told", [0, 1])
def test_the_pipeline(told, size, scale, engine, runtime, folder):
    asked = request(scale, told=told, size=size)
    assert_equal(
        runtime(STUDENT, engine).generate(asked),
        text_to_image(folder(STUDENT), asked, guidance_scale=scale),
    )


def test_what_both_recommend(runtime, folder):
    """Nothing but a prompt: 4 steps, told 8.5."""
    asked = Request("red apple", seed=5, size=(48, 32))
    found = runtime(STUDENT).generate(asked)
    assert_equal(found, text_to_image(folder(STUDENT), asked))
    assert found.nfe == 4


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_fewer_steps_and_a_scale_that_is_not_round(steps, runtime, folder):
    asked = request(3.7, steps=steps)
    assert_equal(
        runtime(STUDENT).generate(asked), text_to_image(folder(STUDENT), asked, guidance_scale=3.7)
    )


def test_the_scale_counts(runtime):
    found = [runtime(STUDENT).generate(request(scale)) for scale in (1.0, 4.0, 8.5)]
    assert difference(found[0], found[1]) > LIVE
    assert difference(found[1], found[2]) > LIVE


@pytest.mark.parametrize("layout", [0, 1])
def test_every_condition_counts(layout, once):
    found = changes(family_bundle(once, STUDENT), layout)
    assert set(found) == {"time", "guidance", "hidden_states"}
    assert min(found.values()) > LIVE, found


def test_a_second_branch_is_beside_the_scale(runtime):
    with pytest.raises(InvalidInput, match=r"EmbeddedGuidance\(scale, beside=CFG"):
        runtime(STUDENT).generate(replace(request(8.5), guidance=CFG(2.0)))

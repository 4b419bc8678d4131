"""Repainting: networks that are shown mask and picture, and replacement with those that are not.

Replacement with Stable Diffusion's networks is in `test_stable_diffusion`, beside their bundles.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from denoisert.runtime import CFG, Start
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.family import mask, picture
from tests.export.families.folders import FAMILIES
from tests.export.families.oracles import inpaint

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SHOWN = ("sd1_inpaint", "sdxl_inpaint")
LIVE = 0.1
TEXTS = {"sd1_inpaint": {"hidden_states"}, "sdxl_inpaint": {"hidden_states", "hidden_states_2"}}
TOLD = {"sd1_inpaint": set(), "sdxl_inpaint": {"pooled", "sizes"}}


def request(name, strength=0.75, size=0, hidden=None, **choices):
    """A request that repaints what is `hidden`, the fixtures' mask by default."""
    side = FAMILIES[name].sizes[size]
    start = Start(picture(side), strength, mask=mask(side) if hidden is None else hidden)
    return FAMILIES[name].request(size=size, start=start, **choices)


def theirs(folder, asked):
    return inpaint(folder, asked, np.asarray(asked.start.mask))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("choice", [*product((0, 1), (0, 1), (0, 1))])
@pytest.mark.parametrize("name", SHOWN)
def test_a_network_that_is_shown_the_picture(name, choice, engine, runtime, folder):
    told, size, guidance = choice
    asked = request(name, told=told, size=size, guidance=guidance)
    assert_equal(runtime(name, engine).generate(asked), theirs(folder(name), asked))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", SHOWN)
def test_from_noise_alone(name, size, engine, runtime, folder):
    """Strength 1: of the picture nothing but what it is shown."""
    asked = request(name, 1.0, size=size, guidance=1)
    assert_equal(runtime(name, engine).generate(asked), theirs(folder(name), asked))


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", SHOWN)
def test_every_condition_counts(name, layout, once):
    found = changes(family_bundle(once, name), layout)
    assert set(found) == {"time", "mask", "masked_latent", *TEXTS[name], *TOLD[name]}
    assert min(found.values()) > LIVE, found


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_recommended(name, runtime, folder):
    """The pipelines' own guidance."""
    assert runtime(name).card.sampler.guidance == CFG(7.5)
    asked = replace(request(name, size=1), guidance=None)
    found = runtime(name).generate(asked)
    assert_equal(found, theirs(folder(name), replace(asked, guidance=CFG(7.5))))


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", SHOWN)
def test_without_a_mask_all_of_it_is_painted(name, size, runtime, folder):
    """From noise alone, and from a picture, as diffusers with a white mask."""
    side = FAMILIES[name].sizes[size]
    white = request(name, 1.0, size, np.full(side, 255, np.uint8), guidance=1)
    found = runtime(name).generate(replace(white, start=None))
    assert_equal(found, theirs(folder(name), white))
    half = request(name, 0.5, size, np.full(side, 255, np.uint8), guidance=1)
    found = runtime(name).generate(replace(half, start=Start(picture(side))))
    assert_equal(found, theirs(folder(name), half))


@pytest.mark.parametrize("name", SHOWN)
def test_another_mask_is_another_picture(name, runtime):
    side = FAMILIES[name].sizes[0]
    one = runtime(name).generate(request(name))
    assert difference(one, runtime(name).generate(request(name, hidden=255 - mask(side)))) > 0.05


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strength", [0.75, 1.0])
@pytest.mark.parametrize("size", [0, 1])
def test_xl_repaints_by_replacement(size, strength, engine, runtime, folder):
    asked = request("sdxl", strength, size, guidance=1)
    assert_equal(runtime("sdxl", engine).generate(asked), theirs(folder("sdxl"), asked))


@pytest.mark.parametrize("strength", [0.75, 1.0])
def test_replacement_keeps_the_picture_s_latent(strength, runtime):
    """Where nothing is painted, bit for bit: what is decoded there differs by what is beside it."""
    asked = request("sdxl", strength, 1)
    kept = mask(asked.size)[::4, ::4] == 0
    found = runtime("sdxl").generate(asked).latents["latent"]
    copied = runtime("sdxl").generate(replace(asked, start=Start(picture(asked.size), 0.0)))
    np.testing.assert_array_equal(found[..., kept], copied.latents["latent"][..., kept])
    assert np.abs(found - copied.latents["latent"])[..., ~kept].max() > 0.1

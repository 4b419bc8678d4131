"""diffusers on our noise from pictures, masks and half a path; the students' own guidance."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from denoisert.kernels.philox import reference as philox
from denoisert.runtime import Condition, Start
from tests.export.families.draws import noise
from tests.export.families.family import mask, picture, started
from tests.export.families.folders import FAMILIES, family_folder
from tests.export.families.oracles import image_to_image, inpaint, opened, refined, text_to_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PICTURES = ("sd1", "sd2", "sd1_tiny_vae", "lcm", "sdxl", "sdxl_turbo", "sd3", "flux_dev")
MASKED = ("sd1", "sd2", "sdxl", "sd3", "flux_dev", "sd1_inpaint", "sdxl_inpaint")
DIFFERENT = 0.05


@pytest.fixture(scope="module")
def pipeline(once):
    """name -> its open pipeline."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = opened(family_folder(once, name))
        return made[name]

    return of


def request(name, **fields):
    family = FAMILIES[name]
    size = family.sizes[1]
    return family.request(size=1, **{"start": started(size)} | fields)


def difference(one, other):
    return np.abs(one.latents - other.latents).max() / np.abs(one.latents).max()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_to_start_from_counts(name, pipeline):
    found = image_to_image(None, request(name), pipeline=pipeline(name))
    size = FAMILIES[name].sizes[1]
    assert found.pixels.shape == (2, *size, 3)
    again = image_to_image(None, request(name), pipeline=pipeline(name))
    assert np.array_equal(found.latents, again.latents)
    other = request(name, start=Start(255 - picture(size), 0.75))
    assert difference(found, image_to_image(None, other, pipeline=pipeline(name))) > DIFFERENT
    less = request(name, start=Start(picture(size), 0.5))
    assert difference(found, image_to_image(None, less, pipeline=pipeline(name))) > DIFFERENT
    seeded = request(name, seed=4)
    assert difference(found, image_to_image(None, seeded, pipeline=pipeline(name))) > DIFFERENT


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_counts(name, pipeline):
    size = FAMILIES[name].sizes[1]
    found = inpaint(None, request(name), mask(size), pipeline=pipeline(name))
    assert found.pixels.shape == (2, *size, 3)
    again = inpaint(None, request(name), mask(size), pipeline=pipeline(name))
    assert np.array_equal(found.latents, again.latents)
    other = inpaint(None, request(name), 255 - mask(size), pipeline=pipeline(name))
    assert difference(found, other) > DIFFERENT


def encoded(pipeline, size):
    """(2, C, h, w): a picture's latents as every oracle draws them from the posterior."""
    pixels = pipeline.image_processor.preprocess([Image.fromarray(picture(size))] * 2)
    found = pipeline.vae.encode(pixels).latent_dist
    drawn = noise(FAMILIES["sd1"].request().seed, tuple(found.mean.shape), purpose=philox.CODEC)
    return (found.mean + found.std * drawn) * pipeline.vae.config.scaling_factor


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_four_channels_keep_what_is_not_masked(name, pipeline):
    """Replacement leaves the picture's own latents where nothing is to be made."""
    size = FAMILIES[name].sizes[1]
    found = inpaint(None, request(name), mask(size), pipeline=pipeline(name))
    kept = mask(size)[::4, ::4] == 0
    wanted = encoded(pipeline(name), size).detach().numpy()
    error = np.abs(found.latents - wanted)[:, :, kept].max() / np.abs(wanted).max()
    assert error < 1e-5
    assert np.abs(found.latents - wanted)[:, :, ~kept].max() > DIFFERENT


def test_the_base_and_the_refiner_share_a_path(once):
    folders = [family_folder(once, name) for name in ("sdxl", "sdxl_refiner")]
    asked = FAMILIES["sdxl"].request(size=1, guidance=1)
    found = refined(*folders, asked)
    assert np.array_equal(found.latents, refined(*folders, asked).latents)
    assert found.pixels.shape == (2, *asked.size, 3)
    assert difference(found, text_to_image(folders[0], asked)) > DIFFERENT
    assert difference(found, refined(*folders, asked, share=0.3)) > DIFFERENT


@pytest.mark.parametrize("name", ["lcm", "flux_dev"])
def test_a_guidance_that_the_network_is_told(name, pipeline):
    asked = FAMILIES[name].request()
    low, high = (
        text_to_image(None, asked, pipeline=pipeline(name), guidance_scale=scale)
        for scale in (1.5, 8.0)
    )
    assert difference(low, high) > DIFFERENT


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux_dev", "pixart_sigma"])
def test_a_negative_prompt_counts(name, pipeline):
    family = FAMILIES[name]
    plain = family.request(guidance=1)
    denied = replace(plain, condition=Condition(family.told[0], "a blue cup"))
    found = [family.pictures(None, each, pipeline=pipeline(name)) for each in (plain, denied)]
    assert difference(*found) > DIFFERENT


@pytest.mark.parametrize("name", ["sdxl", "sdxl_turbo", "lcm", "ddpm", "adm"])
def test_one_picture_is_the_first_of_two(name, pipeline):
    """Every picture has noise of its own, in each draw."""
    family = FAMILIES[name]
    two, one = (
        family.pictures(None, family.request(images=count), pipeline=pipeline(name))
        for count in (2, 1)
    )
    assert np.abs(one.latents[0] - two.latents[0]).max() < 1e-3 * np.abs(two.latents).max()

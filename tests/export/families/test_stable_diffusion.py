"""Stable Diffusion 1 and 2, and one with a tiny autoencoder: equal to diffusers on our noise."""

import json
import shutil
from dataclasses import replace
from itertools import product

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import retrieve_latents
from PIL import Image

from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime import CFG, DDIM, PLMS, Start
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.draws import Draws, drawn
from tests.export.families.family import mask, picture
from tests.export.families.folders import FAMILIES
from tests.export.families.oracles import image_to_image, inpaint, opened, text_to_image

pytestmark = pytest.mark.filterwarnings("ignore")

FIRST, SECOND, TINY = "sd1", "sd2", "sd1_tiny_vae"
LIVE = 0.1


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


NAMES = [FIRST, slow(SECOND), slow(TINY)]


def cases():
    """Every choice of every folder; of the first one on torch one choice is quick."""
    for name, engine in product((FIRST, SECOND, TINY), ENGINES):
        for choice in product((0, 1), (0, 1), (0, 1)):
            is_quick = name == FIRST and (engine == "onnxruntime" or choice == (0, 1, 1))
            yield (pytest.param if is_quick else slow)(name, engine, choice)


def request(name=FIRST, **choices):
    return FAMILIES[name].request(**choices)


def from_picture(strength, size, name=FIRST, *, repainted=False):
    """A request that starts from a picture, of which it may repaint a part."""
    side = FAMILIES[name].sizes[size]
    painted = mask(side) if repainted else None
    start = Start(picture(side), strength, mask=painted)
    return request(name, size=size, guidance=1, start=start)


def with_ddim(folder, asked):
    """The request and the folder's pipeline with DDIM.

    diffusers' PNDM begins in the middle of its start-up steps when it starts from a picture, so
    that it asks the network at times that are not those of its state.
    """
    config = diffusers.DDIMScheduler.load_config(folder, subfolder="scheduler")
    scheduler = diffusers.DDIMScheduler.from_config(config, clip_sample=False)
    found = read_scheduler("DDIMScheduler", dict(scheduler.config)).recommended
    said = replace(asked, solver=found.solver, schedule=found.spacing)
    return said, opened(folder, scheduler=scheduler)


@pytest.mark.parametrize(("name", "engine", "choice"), [*cases()])
def test_the_default_sampler(name, engine, choice, runtime, pipeline):
    told, size, guidance = choice
    asked = request(name, told=told, size=size, guidance=guidance)
    theirs = text_to_image(None, asked, pipeline=pipeline(name))
    assert_equal(runtime(name, engine).generate(asked), theirs)


@pytest.mark.parametrize(("name", "solver"), [(FIRST, PLMS()), slow(SECOND, DDIM())])
def test_what_the_card_recommends(name, solver, runtime, folder, pipeline):
    advice = runtime(name).card.sampler
    assert (advice.solver, advice.guidance) == (solver, CFG(7.5))
    asked = replace(request(name, size=1), guidance=None)
    told = {"guidance_scale": 7.5}
    theirs = text_to_image(folder(name), asked, pipeline=pipeline(name), **told)
    assert_equal(runtime(name).generate(asked), theirs)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (diffusers.DDIMScheduler, {}),
        (diffusers.EulerDiscreteScheduler, {"timestep_spacing": "leading"}),
    ],
    ids=["clipped", "leading"],
)
def test_what_the_pipeline_corrects(kind, fields, runtime, folder, tmp_path):
    """A scheduler that clips latents, or whose last time is 0: diffusers replaces both."""
    changed = shutil.copytree(folder(FIRST), tmp_path / FIRST)
    said = json.loads((changed / "scheduler" / "scheduler_config.json").read_bytes())
    betas = {key: said[key] for key in ("beta_schedule", "beta_start", "beta_end")}
    kind(**betas, **fields).save_pretrained(changed / "scheduler")
    index = json.loads((changed / "model_index.json").read_bytes())
    index["scheduler"] = ["diffusers", kind.__name__]
    (changed / "model_index.json").write_text(json.dumps(index))
    advice = DiffusersFolder(changed).card.sampler
    sampler = {"solver": advice.solver, "schedule": advice.spacing}
    asked = replace(request(size=1, guidance=1), **sampler)
    assert_equal(runtime(FIRST).generate(asked), text_to_image(changed, asked))


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_half_the_steps_from_a_picture(name, size, runtime, folder):
    asked, theirs = with_ddim(folder(name), from_picture(0.5, size, name))
    assert_equal(runtime(name).generate(asked), image_to_image(None, asked, pipeline=theirs))


@pytest.mark.parametrize("name", NAMES)
def test_all_steps_from_a_picture(name, runtime, folder, pipeline):
    """With the folder's own sampler; what the first alpha lets through counts."""
    asked = from_picture(1.0, 1, name)
    found = runtime(name).generate(asked)
    assert_equal(found, image_to_image(folder(name), asked, pipeline=pipeline(name)))
    assert difference(found, runtime(name).generate(request(name, size=1, guidance=1))) > 0.01


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_repainted_from_noise(name, size, runtime, folder, pipeline):
    """By replacement, with the folder's own sampler."""
    asked = from_picture(1.0, size, name, repainted=True)
    theirs = inpaint(folder(name), asked, mask(asked.size), pipeline=pipeline(name))
    assert_equal(runtime(name).generate(asked), theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_repainted_from_the_picture(name, runtime, folder):
    asked, theirs = with_ddim(folder(name), from_picture(0.75, 1, name, repainted=True))
    wanted = inpaint(None, asked, mask(asked.size), pipeline=theirs)
    assert_equal(runtime(name).generate(asked), wanted)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_every_condition_counts(name, layout, once):
    found = changes(family_bundle(once, name), layout)
    assert set(found) == {"time", "hidden_states"}
    assert min(found.values()) > LIVE, found


@pytest.mark.parametrize("name", NAMES)
def test_no_steps_are_the_autoencoder_s_reconstruction(name, runtime, pipeline):
    asked = from_picture(0.0, 1, name)
    found = runtime(name).generate(asked)
    assert found.nfe == 0
    wanted = reconstructions(pipeline(name), asked)
    pixels = np.stack([np.asarray(image) for image in found.images]).astype(int)
    assert np.abs(pixels - wanted).max() <= 2


def reconstructions(pipeline, asked):
    """What the autoencoder makes of the request's picture, by its own noise for each image."""
    vae, processor = pipeline.vae, pipeline.image_processor
    images = [Image.fromarray(asked.start.picture)] * asked.images
    with torch.no_grad(), drawn(pipeline, Draws(asked.seed)):
        latents = retrieve_latents(vae.encode(processor.preprocess(images)))
        decoded = vae.decode(latents).sample
    return np.stack([np.asarray(each) for each in processor.postprocess(decoded)])

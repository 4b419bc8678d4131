"""Words to pictures, ours against diffusers' own pipelines on the same folder and noise."""

import diffusers
import numpy as np
import pytest

from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.export.sources.zoo import ZOO
from denoisert.runtime import CFG, Condition, Request, Runtime, Start, Unguided
from tests.export.families.oracles import image_to_image, opened, text_to_image

LATENT = 1e-3
PIXELS = 2
STEPS = 8
SCHEDULERS = (
    diffusers.DDIMScheduler,
    diffusers.EulerDiscreteScheduler,
    diffusers.DPMSolverMultistepScheduler,
)


EMOJI = ZOO / "emoji" / "model"
MODELS = ["tiny", pytest.param("emoji", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def folder(model, request):
    """The diffusers folder that both sides read."""
    return EMOJI if model == "emoji" else request.getfixturevalue("tiny_text_folder")


@pytest.fixture(scope="module")
def runtime(model, request):
    bundle = request.getfixturevalue("emoji_bundle" if model == "emoji" else "text_bundle")
    with Runtime.open(bundle, threads=1) as opened:
        yield opened


CHANGES = {
    # StableDiffusionPipeline switches off the clipping that DDIM's configuration has by default.
    diffusers.DDIMScheduler: {"clip_sample": False},
    # Our spacings name DPM-Solver's times only when they are "trailing".
    diffusers.DPMSolverMultistepScheduler: {"timestep_spacing": "trailing"},
}


def scheduler_of(kind, folder):
    """A scheduler made from the folder's own configuration, as users do it."""
    config = kind.load_config(folder, subfolder="scheduler")
    return kind.from_config(config, **CHANGES.get(kind, {}))


def sampler_of(scheduler):
    config = {key: None if value == -np.inf else value for key, value in scheduler.config.items()}
    found = read_scheduler(type(scheduler).__name__, config)
    return {"solver": found.recommended.solver, "schedule": found.recommended.spacing}


def assert_equal(result, theirs, *, name="latent"):
    ours = next(iter(result.latents.values()))
    error = np.abs(ours - theirs.latents).max() / np.abs(theirs.latents).max()
    assert error <= LATENT, error
    pixels = np.stack([np.asarray(image) for image in result.images]).astype(int)
    assert np.abs(pixels - theirs.pixels).max() <= PIXELS
    assert theirs.pixels.std() > 5  # a grey picture would prove nothing


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("guidance", [Unguided(), CFG(4.0)])
def test_text_to_image(runtime, folder, kind, guidance):
    scheduler = scheduler_of(kind, folder)
    request = Request(
        "red apple", seed=11, images=2, steps=STEPS, guidance=guidance, **sampler_of(scheduler)
    )
    theirs = text_to_image(folder, request, pipeline=opened(folder, scheduler=scheduler))
    assert_equal(runtime.generate(request), theirs)


def test_a_negative_prompt(runtime, folder):
    scheduler = scheduler_of(diffusers.DDIMScheduler, folder)
    said = {"seed": 5, "steps": STEPS, "guidance": CFG(4.0), **sampler_of(scheduler)}
    request = Request(Condition("red apple", "a blue cup"), **said)
    theirs = text_to_image(folder, request, pipeline=opened(folder, scheduler=scheduler))
    found = runtime.generate(request)
    assert_equal(found, theirs)
    plain = runtime.generate(Request("red apple", **said))
    assert np.abs(plain.flat - found.flat).max() > 10 * LATENT * np.abs(found.flat).max()


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_image_to_image(runtime, folder, kind):
    scheduler = scheduler_of(kind, folder)
    side = runtime.card.layout.parts[0].shape[1] * runtime.card.autoencoder.factor
    picture = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    request = Request(
        "red apple",
        seed=9,
        images=2,
        steps=STEPS,
        guidance=CFG(4.0),
        start=Start(picture, 0.5),
        **sampler_of(scheduler),
    )
    theirs = image_to_image(folder, request, pipeline=opened(folder, scheduler=scheduler))
    assert_equal(runtime.generate(request), theirs)

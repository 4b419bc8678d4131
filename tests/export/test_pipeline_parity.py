"""Words to pictures, ours against diffusers' own pipelines on the same folder and noise."""

import diffusers
import numpy as np
import pytest

from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime import CFG, Condition, Request, Runtime, Start, Unguided
from tests.export.diffusers_pipelines import image_to_image, text_to_image

LATENT = 1e-3
PIXELS = 2
STEPS = 8
SCHEDULERS = (
    diffusers.DDIMScheduler,
    diffusers.EulerDiscreteScheduler,
    diffusers.DPMSolverMultistepScheduler,
)


@pytest.fixture(scope="module")
def runtime(text_bundle):
    with Runtime.open(text_bundle, threads=1) as opened:
        yield opened


def scheduler_of(kind, folder):
    """A scheduler made from the folder's own configuration, as users do it.

    Our spacings name the same times as DPM-Solver's in diffusers only when it is "trailing".
    """
    config = kind.load_config(folder, subfolder="scheduler")
    is_dpm = kind is diffusers.DPMSolverMultistepScheduler
    return kind.from_config(config, **({"timestep_spacing": "trailing"} if is_dpm else {}))


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
def test_text_to_image(runtime, tiny_text_folder, kind, guidance):
    scheduler = scheduler_of(kind, tiny_text_folder)
    request = Request(
        "red apple", seed=11, images=2, steps=STEPS, guidance=guidance, **sampler_of(scheduler)
    )
    theirs = text_to_image(tiny_text_folder, scheduler, request, runtime.card)
    assert_equal(runtime.generate(request), theirs)


def test_a_negative_prompt(runtime, tiny_text_folder):
    scheduler = scheduler_of(diffusers.DDIMScheduler, tiny_text_folder)
    said = {"seed": 5, "steps": STEPS, "guidance": CFG(4.0), **sampler_of(scheduler)}
    request = Request(Condition("red apple", "a blue cup"), **said)
    theirs = text_to_image(tiny_text_folder, scheduler, request, runtime.card)
    found = runtime.generate(request)
    assert_equal(found, theirs)
    plain = runtime.generate(Request("red apple", **said))
    assert np.abs(plain.flat - found.flat).max() > 10 * LATENT * np.abs(found.flat).max()


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_image_to_image(runtime, tiny_text_folder, kind):
    scheduler = scheduler_of(kind, tiny_text_folder)
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
    theirs = image_to_image(tiny_text_folder, scheduler, request, runtime.card)
    assert_equal(runtime.generate(request), theirs)

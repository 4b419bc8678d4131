"""PixArt-alpha and Sigma: compiled, and equal to diffusers' pipelines on our noise."""

from dataclasses import replace

import diffusers
import pytest

from denoisert.export import compile_bundle
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime import Condition, Request, Runtime
from denoisert.runtime.sampling.schedules import Timesteps
from denoisert.runtime.sampling.solvers import DDIM
from tests.export.families import layouts
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.folders import FAMILIES, write
from tests.export.families.oracles import opened, text_to_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ALPHA, SIGMA = NAMES = ("pixart_alpha", "pixart_sigma")
LIVE = 0.1


def request(name=ALPHA, **choices):
    return FAMILIES[name].request(**choices)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("told", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_words_to_pictures(name, told, size, guidance, *, engine, runtime, folder):
    asked = request(name, told=told, size=size, guidance=guidance)
    assert_equal(runtime(name, engine).generate(asked), text_to_image(folder(name), asked))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_card_recommends(name, runtime, folder):
    """Nothing but a prompt, and diffusers told the same steps; the guidance is its own default."""
    advice = runtime(name).card.sampler
    asked = Request("  RED Apple ", seed=5, size=(48, 32))
    theirs = text_to_image(
        folder(name), asked, num_inference_steps=advice.steps, guidance_scale=4.5
    )
    assert_equal(runtime(name).generate(asked), theirs)


def test_a_negative_prompt(runtime, folder):
    asked = replace(request(guidance=1), condition=Condition("red apple", "a blue cup"))
    found = runtime(ALPHA).generate(asked)
    assert_equal(found, text_to_image(folder(ALPHA), asked))
    assert difference(runtime(ALPHA).generate(request(guidance=1)), found) > 0.01


def test_a_prompt_longer_than_its_room(runtime, folder):
    """Cut, with no padding left."""
    asked = replace(request(SIGMA, guidance=1), condition="a smiling face of a red apple " * 40)
    found = runtime(SIGMA).generate(asked)
    assert_equal(found, text_to_image(folder(SIGMA), asked))


@pytest.mark.parametrize("name", NAMES)
def test_every_condition_counts(name, once):
    for layout in (0, 1):
        found = changes(family_bundle(once, name), layout)
        told = {"sizes"} if name == ALPHA else set()
        assert set(found) == {"time", "hidden_states", "token_mask", *told}
        assert min(found.values()) > LIVE, found


def test_sizes_that_a_request_tells(runtime):
    asked = request(size=1, guidance=1)
    plain = runtime(ALPHA).generate(asked)
    same = {"prompt": "red apple", "height": 48, "width": 32, "ratio": 1.5}
    assert difference(plain, runtime(ALPHA).generate(replace(asked, condition=same))) == 0
    for other in ({"height": 1024}, {"width": 1024}, {"ratio": 0.25}):
        told = replace(asked, condition=Condition({"prompt": "red apple", **other}))
        assert difference(plain, runtime(ALPHA).generate(told)) > 0.01, other


def test_the_old_folders_compile(runtime, tmp_path):
    """The published layout: classes of earlier names, T5's pieces alone, tensors nobody reads."""
    found = layouts.pixart_first(write(ALPHA, tmp_path / "old"))
    smallest = CompileOptions(sizes=FAMILIES[ALPHA].sizes[:1])
    bundle = compile_bundle(found, tmp_path / "old.bundle", options=smallest)
    asked = request(told=1, guidance=1)
    with Runtime.open(bundle.path, threads=1) as old:
        assert difference(runtime(ALPHA).generate(asked), old.generate(asked)) < 1e-5


def test_a_consistency_student(runtime, folder):
    """PixArt-LCM is alpha with another scheduler and no guidance."""
    betas = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
    scheduler = diffusers.LCMScheduler(**betas)
    advice = read_scheduler("LCMScheduler", dict(scheduler.config)).recommended
    asked = request(size=1, steps=4, solver=advice.solver, schedule=advice.spacing)
    theirs = text_to_image(
        folder(ALPHA), asked, pipeline=opened(folder(ALPHA), scheduler=scheduler)
    )
    assert_equal(runtime(ALPHA).generate(asked), theirs)


def test_a_student_of_one_step(runtime, folder):
    """PixArt-DMD: time 400, one step, which the pipeline ends at the clean estimate."""
    scheduler = diffusers.DDPMScheduler(clip_sample=False)
    pipeline = opened(folder(ALPHA), scheduler=scheduler)
    asked = request(size=1, steps=1, solver=DDIM(), schedule=Timesteps((400.0,)))
    theirs = text_to_image(
        folder(ALPHA), asked, pipeline=pipeline, num_inference_steps=1, timesteps=[400]
    )
    assert_equal(runtime(ALPHA).generate(asked), theirs)

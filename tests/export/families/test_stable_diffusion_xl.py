"""SDXL, its students and its refiner: compiled, and equal to diffusers' pipelines on our noise."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import CFG, Condition, Request, Start, Unguided, refine
from denoisert.runtime.errors import InvalidInput
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.family import picture
from tests.export.families.folders import FAMILIES
from tests.export.families.oracles import image_to_image, refined, text_to_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

BASE, REFINER, TURBO, LIGHTNING = "sdxl", "sdxl_refiner", "sdxl_turbo", "sdxl_lightning"
LIVE = 0.1


def request(name=BASE, **choices):
    return FAMILIES[name].request(**choices)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("told", [0, 1])
def test_the_base(told, size, guidance, engine, runtime, folder):
    asked = request(told=told, size=size, guidance=guidance)
    assert_equal(runtime(BASE, engine).generate(asked), text_to_image(folder(BASE), asked))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
def test_turbo(guidance, engine, runtime, folder):
    """Ancestral: noise in every step."""
    asked = request(TURBO, size=1, guidance=guidance)
    assert_equal(runtime(TURBO, engine).generate(asked), text_to_image(folder(TURBO), asked))


@pytest.mark.parametrize("name", [BASE, TURBO])
def test_what_the_card_recommends(name, runtime, folder):
    """Nothing but a prompt, and diffusers told the same steps and guidance."""
    advice = runtime(name).card.sampler
    asked = Request("red apple", seed=5, size=(48, 32))
    scale = {"guidance_scale": getattr(advice.guidance, "scale", 0.0)}
    theirs = text_to_image(folder(name), asked, num_inference_steps=advice.steps, **scale)
    assert_equal(runtime(name).generate(asked), theirs)


def test_lightning_is_the_base_with_its_own_times(runtime, folder):
    from denoisert.export.sources.diffusers.source import DiffusersFolder

    advice = DiffusersFolder(folder(LIGHTNING)).card.sampler
    sampler = {"solver": advice.solver, "schedule": advice.spacing, "guidance": advice.guidance}
    asked = replace(request(size=1), **sampler)
    assert_equal(runtime(BASE).generate(asked), text_to_image(folder(LIGHTNING), asked))


@pytest.mark.parametrize("negative", ["a blue cup", ""])
def test_a_negative_prompt(negative, runtime, folder):
    """An empty one is encoded; none at all is zeros."""
    asked = replace(request(guidance=1), condition=Condition("red apple", negative))
    found = runtime(BASE).generate(asked)
    assert_equal(found, text_to_image(folder(BASE), asked))
    assert difference(runtime(BASE).generate(request(guidance=1)), found) > 0.01


def test_a_prompt_for_each_encoder(runtime, folder):
    told = {"text_encoder": "red apple", "text_encoder_2": "a smiling face"}
    asked = request(guidance=1)
    found = runtime(BASE).generate(replace(asked, condition=told))
    second = {"prompt_2": [told["text_encoder_2"]] * asked.images}
    assert_equal(found, text_to_image(folder(BASE), asked, **second))


def test_sizes_and_crops(runtime, folder):
    """One picture: of several, diffusers tells the numbers of both branches in turns."""
    numbers = {"original_height": 20, "original_width": 60, "crop_top": 4, "crop_left": 7}
    negative = {"original_height": 9, "original_width": 11, "target_height": 30, "target_width": 8}
    told = Condition({"prompt": "red apple"} | numbers, negative)
    asked = request(guidance=1, images=1)
    found = runtime(BASE).generate(replace(asked, condition=told))
    theirs = text_to_image(
        folder(BASE),
        asked,
        original_size=(20, 60),
        crops_coords_top_left=(4, 7),
        negative_original_size=(9, 11),
        negative_crops_coords_top_left=(4, 7),
        negative_target_size=(30, 8),
    )
    assert_equal(found, theirs)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize(("name", "size"), [(BASE, 1), (REFINER, 0), (REFINER, 1)])
def test_from_a_picture(name, size, guidance, engine, runtime, folder):
    side = FAMILIES[BASE].sizes[size]
    asked = request(size=size, guidance=guidance, start=Start(picture(side), 0.75))
    assert_equal(runtime(name, engine).generate(asked), image_to_image(folder(name), asked))


def test_the_refiners_scores(runtime, folder):
    asked = request(size=1, guidance=1, start=Start(picture((48, 32)), 0.75))
    told = Condition({"prompt": "red apple", "score": 8.0, "crop_top": 3}, {"score": 1.0})
    found = runtime(REFINER).generate(replace(asked, condition=told))
    numbers = {"aesthetic_score": 8.0, "negative_aesthetic_score": 1.0}
    crops = {"crops_coords_top_left": (3, 0)}
    assert_equal(found, image_to_image(folder(REFINER), asked, **numbers, **crops))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("share", [0.8, 0.6])
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
def test_base_and_refiner(size, guidance, share, engine, runtime, folder):
    asked = request(size=size, guidance=guidance)
    found = refine(runtime(BASE, engine), runtime(REFINER, engine), asked, share=share)
    assert_equal(found, refined(folder(BASE), folder(REFINER), asked, share=share))
    assert found.nfe == (8 if guidance == 0 else 16)


def test_the_refiner_makes_another_picture(runtime):
    asked = request(guidance=1)
    found = refine(runtime(BASE), runtime(REFINER), asked, share=0.5)
    assert difference(runtime(BASE).generate(asked), found) > 0.05
    assert difference(refine(runtime(BASE), runtime(REFINER), asked), found) > 0.05


def test_what_only_one_of_two_networks_is_told(runtime, folder):
    prompts = {"text_encoder": "a blue cup", "text_encoder_2": "red apple"}
    asked = request(guidance=1)
    told = Condition(prompts | {"score": 9.0, "original_height": 50})
    found = refine(runtime(BASE), runtime(REFINER), replace(asked, condition=told), share=0.6)
    plain = refine(runtime(BASE), runtime(REFINER), replace(asked, condition=prompts), share=0.6)
    assert difference(plain, found) > 0.01


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", [BASE, REFINER])
def test_every_condition_counts(name, layout, once):
    found = changes(family_bundle(once, name), layout)
    texts = {"hidden_states", "hidden_states_2"} if name == BASE else {"hidden_states"}
    assert set(found) == {"time", "pooled", "sizes", *texts}
    assert min(found.values()) > LIVE, found


def test_what_the_base_leaves_is_no_picture(runtime):
    from denoisert.runtime.programs.handover import Handover

    between = Handover(runtime(BASE).card, runtime(REFINER).card, 0.6)
    found = runtime(BASE).generate(between.first(request()))
    assert "decode" not in found.phases
    assert np.isfinite(found.flat).all()
    with pytest.raises(InvalidInput, match="not pictures"):
        _ = found.images


def test_guidance_of_its_own(runtime):
    """The two cards may recommend different scales; a request's is that of both."""
    assert runtime(REFINER).card.sampler.guidance == CFG(5.0)
    plain = refine(runtime(BASE), runtime(REFINER), request())
    assert plain.nfe == 8
    asked = Request("red apple", seed=3, steps=8)
    assert refine(runtime(BASE), runtime(REFINER), asked).nfe == 16
    assert request().guidance == Unguided()  # as `plain` had

"""Stable Diffusion 3 and 3.5: compiled, and equal to diffusers' pipelines on our noise."""

import json
import shutil
from dataclasses import replace
from itertools import product

import numpy as np
import onnx
import pytest

from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime import CFG, Condition, Request, Start, Unguided
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.family import mask, picture
from tests.export.families.folders import FAMILIES
from tests.export.families.layouts import earlier, lean
from tests.export.families.oracles import image_to_image, inpaint, text_to_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

MEDIUM, LATER, WITHOUT_T5 = "sd3", "sd35", "sd3_without_t5"
NAMES = (MEDIUM, LATER, WITHOUT_T5)
LIVE = 0.1
ATTENTIONS = {MEDIUM: 2, LATER: 3, WITHOUT_T5: 2}
"""One in each block, two in the first of 3.5."""

FEW_TOKENS = {"base_image_seq_len": 8, "max_image_seq_len": 40}
SHIFTED = FEW_TOKENS | {"use_dynamic_shifting": True, "base_shift": -0.35, "max_shift": 1.6}
"""A schedule whose shifts of 16 and of 24 tokens are far apart."""


def request(name=MEDIUM, **choices):
    return FAMILIES[name].request(**choices)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("choices", [*product((0, 1), repeat=3)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_pictures_of_a_prompt(name, choices, engine, runtime, pipeline):
    told, size, guidance = choices
    asked = request(name, told=told, size=size, guidance=guidance)
    found = runtime(name, engine).generate(asked)
    assert_equal(found, text_to_image(None, asked, pipeline=pipeline(name)))
    assert found.nfe == (8 if guidance == 0 else 16)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_card_recommends(name, runtime, pipeline):
    """Nothing but a prompt: diffusers' own steps and guidance."""
    asked = Request("red apple", seed=5, size=(48, 32))
    theirs = text_to_image(None, asked, pipeline=pipeline(name), guidance_scale=7.0)
    found = runtime(name).generate(asked)
    assert_equal(found, theirs)
    assert found.nfe == 2 * 28


@pytest.mark.parametrize("name", [MEDIUM, WITHOUT_T5])
def test_a_negative_prompt(name, runtime, pipeline):
    plain = request(name, size=1, guidance=1)
    asked = replace(plain, condition=Condition("red apple", "a blue cup"))
    found = runtime(name).generate(asked)
    assert_equal(found, text_to_image(None, asked, pipeline=pipeline(name)))
    assert difference(runtime(name).generate(plain), found) > 0.05


def test_a_prompt_for_each_encoder(runtime, pipeline):
    texts = ("text_encoder", "text_encoder_2", "text_encoder_3")
    prompts = dict(zip(texts, ("red apple", "a smiling face", "a blue cup"), strict=True))
    asked = request(guidance=1)
    found = runtime(MEDIUM).generate(replace(asked, condition=prompts))
    others = {f"prompt_{text[-1]}": [prompts[text]] * asked.images for text in texts[1:]}
    assert_equal(found, text_to_image(None, asked, pipeline=pipeline(MEDIUM), **others))
    for text in texts:
        other = replace(asked, condition=prompts | {text: "an old red house"})
        assert difference(runtime(MEDIUM).generate(other), found) > 0.05


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_from_a_picture(name, size, guidance, engine, runtime, pipeline):
    side = FAMILIES[name].sizes[size]
    asked = request(name, size=size, guidance=guidance, start=Start(picture(side), 0.75))
    theirs = image_to_image(None, asked, pipeline=pipeline(name))
    assert_equal(runtime(name, engine).generate(asked), theirs)


def test_all_steps_from_a_picture_are_those_from_noise(runtime, pipeline):
    """Bit for bit, as the first alpha is 0; the picture is not even read."""
    asked = request(size=1, guidance=1, start=Start(picture((48, 32)), 1.0))
    found = runtime(MEDIUM).generate(asked)
    plain = runtime(MEDIUM).generate(replace(asked, start=None))
    np.testing.assert_array_equal(found.flat, plain.flat)
    np.testing.assert_array_equal(found.pixels, plain.pixels)
    assert_equal(found, image_to_image(None, asked, pipeline=pipeline(MEDIUM)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("strength", [1.0, 0.75])
@pytest.mark.parametrize("name", [MEDIUM, LATER])
def test_inpainting_by_replacement(name, strength, guidance, engine, runtime, pipeline):
    side = FAMILIES[name].sizes[1]
    asked = request(name, size=1, guidance=guidance, start=Start(picture(side), strength))
    theirs = inpaint(None, asked, mask(side), pipeline=pipeline(name))
    ours = replace(asked, start=Start(picture(side), strength, mask=mask(side)))
    assert_equal(runtime(name, engine).generate(ours), theirs)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_every_condition_counts(name, layout, once):
    found = changes(family_bundle(once, name), layout)
    third = {"hidden_states_3"} if name != WITHOUT_T5 else set()
    assert set(found) == {"time", "hidden_states", "hidden_states_2", "pooled", "pooled_2", *third}
    assert min(found.values()) > LIVE, found


@pytest.mark.parametrize("name", NAMES)
def test_every_attention_is_one_operator(name, once):
    graph = onnx.load(family_bundle(once, name) / "graphs/denoiser.onnx", load_external_data=False)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("Attention") == ATTENTIONS[name]
    assert "Softmax" not in kinds


@pytest.mark.parametrize("name", NAMES)
def test_positions_beyond_the_largest_size_are_not_stored(name, once):
    """Those of 6 tokens along an edge; published tables have 192 or 384."""
    graph = onnx.load(family_bundle(once, name) / "graphs/denoiser.onnx", load_external_data=False)
    shapes = [tuple(value.dims) for value in graph.graph.initializer]
    width = FAMILIES[name].make().transformer.inner_dim
    assert (6, 6, width) in shapes
    assert (8, 8, width) not in shapes


@pytest.fixture(scope="module")
def shifted(folder, tmp_path_factory):
    """Medium whose scheduler shifts by the number of tokens."""
    path = tmp_path_factory.mktemp("shifted") / "sd3"
    shutil.copytree(folder(MEDIUM), path)
    place = path / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | SHIFTED))
    return path


@pytest.mark.parametrize("size", [0, 1])
def test_one_bundle_has_a_shift_for_each_size(size, shifted, runtime):
    """The graphs do not depend on the schedule, so the bundle with the fixed shift runs it."""
    spacing = DiffusersFolder(shifted).card.sampler.spacing
    asked = request(size=size, schedule=spacing)
    found = runtime(MEDIUM).generate(asked)
    assert_equal(found, text_to_image(shifted, asked))
    other = replace(spacing, edge=None, tokens=(24, 16)[size])
    assert difference(runtime(MEDIUM).generate(replace(asked, schedule=other)), found) > 0.02


def test_a_student_of_few_steps(folder, runtime, pipeline, tmp_path):
    """What Turbo's README recommends; nothing else tells it from its teacher."""
    path = tmp_path / "turbo"
    shutil.copytree(folder(MEDIUM), path)
    front = "---\nlicense: other\nnum_inference_steps: 4\nguidance_scale: 0.0\n---\n"
    (path / "README.md").write_text(front)
    advice = DiffusersFolder(path).card.sampler
    assert (advice.steps, advice.guidance) == (4, Unguided())
    asked = replace(request(size=1, steps=advice.steps), guidance=advice.guidance)
    assert_equal(
        runtime(MEDIUM).generate(asked),
        text_to_image(None, asked, pipeline=pipeline(MEDIUM), guidance_scale=0.0),
    )


@pytest.mark.parametrize("layout", [earlier, lean])
@pytest.mark.parametrize("name", [LATER, WITHOUT_T5])
def test_folders_of_every_age_mean_the_same(name, layout, folder, tmp_path):
    card = DiffusersFolder(folder(name)).card
    assert card.sampler.guidance == CFG(7.0)
    path = tmp_path / card.name
    shutil.copytree(folder(name), path)
    assert DiffusersFolder(layout(path)).card == card

"""FLUX.1 dev and schnell: compiled, and equal to diffusers' pipelines on our noise."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest

from denoisert.export import CompileOptions
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime import CFG, Condition, EmbeddedGuidance, Request, Start
from denoisert.runtime.cli import main
from denoisert.runtime.errors import InvalidInput
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.family import mask, picture
from tests.export.families.folders import FAMILIES
from tests.export.families.layouts import earlier, lean
from tests.export.families.oracles import image_to_image, inpaint, text_to_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

DEV, SCHNELL = "flux_dev", "flux_schnell"
LIVE = 0.1
BLOCKS = 2
"""Of the transformer: one with a stream for the text, one without."""

SCALE = 3.5
TELLS = {DEV: {"guidance_scale": SCALE}, SCHNELL: {"max_sequence_length": 256}}
"""What diffusers is called with beside a request: its pipelines tell different scales when nothing
is said, and schnell was made with 256 tokens of T5."""

FEW_TOKENS = {"base_image_seq_len": 8, "max_image_seq_len": 40}
SHIFTS = {
    "exponential": {"base_shift": -0.35, "max_shift": 1.6},
    "linear": {"base_shift": 0.55, "max_shift": 6.2, "time_shift_type": "linear"},
    "terminal": {"base_shift": -0.35, "max_shift": 1.6, "shift_terminal": 0.15},
}
"""Schedules whose shifts of 16 and of 24 tokens are far apart."""


def request(name=DEV, **choices):
    return FAMILIES[name].request(**choices)


def told(asked, name=DEV, scale=SCALE):
    """The same request for our runtime: dev's network is told a scale beside any second branch."""
    if name != DEV:
        return asked
    return replace(asked, guidance=EmbeddedGuidance(scale, beside=asked.guidance))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("choices", [*product([0, 1], repeat=3)], ids=str)
@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_pictures_of_a_prompt(name, choices, engine, runtime, folder):
    """Of two prompts at two sizes, with one branch and with two."""
    prompt, size, guidance = choices
    asked = request(name, told=prompt, size=size, guidance=guidance)
    found = runtime(name, engine).generate(told(asked, name))
    assert_equal(found, text_to_image(folder(name), asked, **TELLS[name]))
    assert found.nfe == (8 if guidance == 0 else 16)


@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_what_the_card_recommends(name, runtime, folder):
    """Nothing but a prompt: diffusers' own steps and guidance, and schnell's four."""
    asked = Request("red apple", seed=5, size=(48, 32))
    schnell = {"num_inference_steps": 4, "max_sequence_length": 256}
    theirs = text_to_image(folder(name), asked, **(schnell if name == SCHNELL else {}))
    assert_equal(runtime(name).generate(asked), theirs)


@pytest.mark.parametrize("engine", ENGINES)
def test_another_scale(engine, runtime, folder):
    asked = request(size=1)
    found = runtime(DEV, engine).generate(told(asked, scale=1.5))
    assert_equal(found, text_to_image(folder(DEV), asked, guidance_scale=1.5))
    assert difference(runtime(DEV, engine).generate(told(asked)), found) > LIVE


@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_a_negative_prompt(name, runtime, folder):
    plain = request(name, size=1, guidance=1)
    asked = replace(plain, condition=Condition("red apple", "a blue cup"))
    found = runtime(name).generate(told(asked, name))
    assert_equal(found, text_to_image(folder(name), asked, **TELLS[name]))
    assert difference(runtime(name).generate(told(plain, name)), found) > 0.05


def test_a_prompt_for_each_encoder(runtime, folder):
    prompts = {"text_encoder": "red apple", "text_encoder_2": "a smiling face"}
    asked = request()
    found = runtime(DEV).generate(replace(told(asked), condition=prompts))
    second = {"prompt_2": [prompts["text_encoder_2"]] * asked.images}
    assert_equal(found, text_to_image(folder(DEV), asked, **second))
    assert difference(runtime(DEV).generate(told(asked)), found) > 0.05


def test_a_second_branch_without_a_scale_is_refused(runtime):
    with pytest.raises(InvalidInput, match=r"EmbeddedGuidance\(scale, beside=CFG"):
        runtime(DEV).generate(request(guidance=1))
    with pytest.raises(InvalidInput, match="no input for one"):
        runtime(SCHNELL).generate(replace(request(SCHNELL), guidance=EmbeddedGuidance(3.5)))


def test_both_scales_from_the_command(runtime, once, tmp_path):
    file, side = tmp_path / "latents.npz", ("--size", "48x32")
    words = ["red apple", "--negative", "a blue cup", "--guidance", "2", "--beside", "4", *side]
    words += ["--steps", "4", "--seed", "6", "--latents", str(file), "--out", str(tmp_path)]
    assert main(["generate", str(family_bundle(once, DEV)), *words]) == 0
    asked = Request(
        Condition("red apple", "a blue cup"),
        seed=6,
        size=(48, 32),
        steps=4,
        guidance=EmbeddedGuidance(2.0, beside=CFG(4.0)),
    )
    with np.load(file) as arrays:
        assert np.array_equal(arrays["latent"], runtime(DEV).generate(asked).latents["latent"])


@pytest.mark.parametrize("layout", [lean, earlier])
@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_other_layouts_of_the_folder_mean_the_same(name, layout, folder, tmp_path):
    copied = layout(Path(shutil.copytree(folder(name), tmp_path / name)))
    assert DiffusersFolder(copied).card == DiffusersFolder(folder(name)).card


@pytest.fixture(scope="module", params=SHIFTS)
def shifted(request, folder, tmp_path_factory):
    """Dev with a scheduler for pictures of few tokens: its folder, and the spacing of its card."""
    path = tmp_path_factory.mktemp("shifted") / "flux"
    shutil.copytree(folder(DEV), path)
    place = path / "scheduler" / "scheduler_config.json"
    config = json.loads(place.read_text()) | FEW_TOKENS | SHIFTS[request.param]
    place.write_text(json.dumps(config))
    options = CompileOptions(sizes=FAMILIES[DEV].sizes)
    return path, DiffusersFolder(path, options=options).card.sampler.spacing


@pytest.mark.parametrize("engine", ENGINES)
def test_one_bundle_has_a_shift_for_each_size(engine, shifted, runtime):
    """The graphs do not depend on the schedule, so dev's bundle runs all of them."""
    path, spacing = shifted
    for size in (0, 1):
        asked = request(size=size, schedule=spacing)
        found = runtime(DEV, engine).generate(told(asked))
        assert_equal(found, text_to_image(path, asked))


def test_the_other_size_s_shift_would_be_another_picture(shifted, runtime):
    """Or the test above proves nothing."""
    _, spacing = shifted
    shift = getattr(spacing, "spacing", spacing)
    shift = shift if hasattr(shift, "tokens") else spacing
    other = replace(shift, edge=None, tokens=16)
    other = other if shift is spacing else replace(spacing, spacing=other)
    asked = told(request(size=1, schedule=spacing))
    found = [runtime(DEV).generate(each) for each in (asked, replace(asked, schedule=other))]
    assert difference(*found) > 0.02


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_from_a_picture(name, size, guidance, engine, runtime, folder):
    side = FAMILIES[name].sizes[size]
    asked = request(name, size=size, guidance=guidance, start=Start(picture(side), 0.75))
    found = runtime(name, engine).generate(told(asked, name))
    assert_equal(found, image_to_image(folder(name), asked, **TELLS[name]))


def test_from_a_picture_the_shift_is_that_of_its_size(shifted, runtime):
    path, spacing = shifted
    asked = request(size=1, schedule=spacing, start=Start(picture((48, 32)), 0.6))
    theirs = image_to_image(path, asked, guidance_scale=SCALE)
    assert_equal(runtime(DEV).generate(told(asked)), theirs)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("strength", [1.0, 0.75])
def test_inpainting_by_replacement(strength, guidance, engine, runtime, folder):
    side = FAMILIES[DEV].sizes[1]
    asked = request(size=1, guidance=guidance, start=Start(picture(side), strength))
    theirs = inpaint(folder(DEV), asked, mask(side), guidance_scale=SCALE)
    ours = replace(told(asked), start=Start(picture(side), strength, mask=mask(side)))
    assert_equal(runtime(DEV, engine).generate(ours), theirs)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_every_condition_counts(name, layout, once):
    found = changes(family_bundle(once, name), layout)
    scale = {"guidance"} if name == DEV else set()
    assert set(found) == {"time", "hidden_states", "pooled", *scale}
    assert min(found.values()) > LIVE, found


@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_every_attention_is_one_operator(name, once):
    graph = onnx.load(family_bundle(once, name) / "graphs/denoiser.onnx", load_external_data=False)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("Attention") == BLOCKS
    assert "Softmax" not in kinds

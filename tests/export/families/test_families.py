"""Each family's folder is small, alive in every input, and run by diffusers on our noise."""

import numpy as np
import pytest

from tests.export.families.conditions import first_call
from tests.export.families.folders import FAMILIES, LARGEST, family_folder, make
from tests.export.families.oracles import opened

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LIVE = 0.1
PROMPT = 0.05
"""Of the final latents; a network that predicts noise leaves most of them to the noise."""
POSITIONS = ("img_ids", "txt_ids")
"""Told by the size alone, which is no condition of a request."""
EPSILON = 1e-6


@pytest.fixture(scope="module", params=FAMILIES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name, once):
    return family_folder(once, name)


@pytest.fixture(scope="module")
def pipeline(folder):
    return opened(folder)


@pytest.fixture(scope="module")
def pictures(name, folder, pipeline):
    """request's choices -> what diffusers makes of it."""
    family, made = FAMILIES[name], {}

    def of(**choices):
        key = tuple(choices.items())
        if key not in made:
            made[key] = family.pictures(folder, family.request(**choices), pipeline=pipeline)
        return made[key]

    return of


def difference(one, other):
    return np.abs(one.latents - other.latents).max() / np.abs(one.latents).max()


def test_a_folder_is_small(pipeline):
    parts = [part for part in pipeline.components.values() if hasattr(part, "parameters")]
    assert sum(value.numel() for part in parts for value in part.parameters()) < LARGEST


def test_no_parameter_is_constant(pipeline):
    parts = [part for part in pipeline.components.values() if hasattr(part, "parameters")]
    for part in parts:
        for key, value in part.named_parameters():
            flat = value.flatten()
            assert flat.numel() == 1 or bool((flat != flat[0]).any()), key


def test_a_folder_is_always_the_same(name, pipeline):
    network = "unet" if hasattr(pipeline, "unet") else "transformer"
    again = dict(getattr(make(name), network).named_parameters())
    assert all(
        bool((again[key] == value).all())
        for key, value in getattr(pipeline, network).named_parameters()
    )


def test_every_condition_counts(name, folder, pipeline):
    family = FAMILIES[name]
    size = 0 if len(set(family.sizes[1])) == 1 else 1
    told, guidance = len(family.told) - 1, len(family.guidances) - 1
    asked = family.request(told, size, guidance)
    call = first_call(pipeline, lambda: family.pictures(folder, asked, pipeline=pipeline))
    assert call.conditions
    found = {key: call.change(key) for key in call.conditions if key not in POSITIONS}
    assert min(found.values()) > LIVE, found


def test_the_pipeline_makes_the_same_twice(name, folder, pictures):
    """Opened once more, from the same noise."""
    first = pictures()
    again = FAMILIES[name].pictures(folder, FAMILIES[name].request())
    assert np.array_equal(first.latents, again.latents)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.pixels.std() > 5  # a grey picture would prove nothing
    assert np.abs(first.latents[0] - first.latents[1]).max() > LIVE * np.abs(first.latents).max()


def test_pictures_have_the_size_asked_for(name, pictures):
    for number, size in enumerate(FAMILIES[name].sizes):
        assert pictures(size=number).pixels.shape == (2, *size, 3)


def test_the_condition_counts(name, pictures):
    if len(FAMILIES[name].told) > 1:
        assert difference(pictures(), pictures(told=1)) > PROMPT


def test_the_guidance_counts(name, pictures):
    if len(FAMILIES[name].guidances) > 1:
        assert difference(pictures(), pictures(guidance=1)) > PROMPT


def test_the_seed_counts(pictures):
    assert difference(pictures(), pictures(seed=4)) > LIVE


@pytest.mark.parametrize("guidance", [0, 1])
def test_an_engines_error_stays_small(guidance, name, pipeline, pictures):
    """An error of 1e-6 in every answer of the network is far below the bound of the parity."""
    if guidance >= len(FAMILIES[name].guidances):
        return
    exact = pictures(guidance=guidance)
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    rng = np.random.default_rng(5)

    def disturb(module, given, answer):
        tensor = answer[0]
        tensor += (
            EPSILON * tensor.abs().max() * tensor.new_tensor(rng.standard_normal(tensor.shape))
        )
        return answer

    hook = network.register_forward_hook(disturb)
    try:
        found = FAMILIES[name].pictures(
            None, FAMILIES[name].request(guidance=guidance), pipeline=pipeline
        )
    finally:
        hook.remove()
    assert 0 < difference(exact, found) < 5e-4

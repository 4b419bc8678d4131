"""The tables of classes agree with each other and with what is installed."""

import diffusers
import pytest
import transformers

from denoisert.export.families.roster import SCHEDULERS
from denoisert.export.families.table import FAMILIES, PIPELINES, family_of
from denoisert.export.sources.diffusers.classes import Named, check_pipeline, find_class
from denoisert.export.sources.diffusers.folder import CONFIG_NAMES
from denoisert.export.sources.diffusers.foreign import SHOWN, shown
from denoisert.export.sources.diffusers.networks import CONFIGURATIONS, NETWORKS
from denoisert.export.sources.diffusers.settings import DEFAULTS
from denoisert.runtime.errors import ExportError

LIBRARIES = {"diffusers": diffusers, "transformers": transformers}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pipeline_and_every_class_of_it_exists(pipeline):
    assert hasattr(diffusers, pipeline)
    for known in PIPELINES[pipeline].compiled.values():
        for found in known.values():
            assert hasattr(LIBRARIES[found.library], found.name)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_network_of_a_pipeline_can_be_built(pipeline):
    for component, known in PIPELINES[pipeline].compiled.items():
        names = {found.name for found in known.values()}
        assert component in CONFIG_NAMES or names <= {*NETWORKS, *CONFIGURATIONS}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_is_compiled_is_not_left_out_and_needed_or_optional(pipeline):
    roster = PIPELINES[pipeline]
    assert not set(roster.compiled) & set(roster.left_out)
    assert not set(roster.needed) & set(roster.optional)


def test_a_pipeline_has_one_family():
    names = [name for family in FAMILIES for name in family.pipelines]
    assert len(names) == len(set(names)) == len(PIPELINES)
    assert all(name in family_of(name).pipelines for name in names)


@pytest.mark.parametrize("network", [*NETWORKS, *CONFIGURATIONS.items()])
def test_every_network_and_its_configuration_exist(network):
    names = [network] if isinstance(network, str) else network
    library = diffusers if isinstance(network, str) else transformers
    assert all(hasattr(library, name) for name in names)


def test_every_scheduler_has_settings():
    assert set(SCHEDULERS) == set(DEFAULTS)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pair_of_the_table_is_found(pipeline):
    for component, known in PIPELINES[pipeline].compiled.items():
        for asked, meant in known.items():
            found = find_class(pipeline, component, [meant.library, asked])
            assert found == Named(meant.library, meant.name, asked, is_compiled=True)


def test_an_older_name_means_the_class_of_today():
    found = find_class("DiTPipeline", "transformer", ["diffusers", "Transformer2DModel"])
    assert found is not None
    assert (found.class_name, found.asked) == ("DiTTransformer2DModel", "Transformer2DModel")


def test_a_component_of_another_pipeline_is_unknown():
    with pytest.raises(ExportError, match="no component of DiTPipeline"):
        find_class("DiTPipeline", "unet", ["diffusers", "UNet2DConditionModel"])


def test_what_is_left_out_is_known_and_not_compiled():
    found = find_class(
        "StableDiffusionPipeline",
        "safety_checker",
        ["stable_diffusion", "StableDiffusionSafetyChecker"],
    )
    assert found is not None
    assert not found.is_compiled


@pytest.mark.parametrize("pipeline", ["StableDiffusionPipeline", "StableDiffusion3Pipeline"])
def test_image_processors_are_left_out_as_whatever_form_was_installed(pipeline):
    kind = "Siglip" if "3" in pipeline else "CLIP"
    saved = {type(getattr(transformers, f"{kind}ImageProcessor")()).__name__}
    for name in saved | {f"{kind}ImageProcessor{form}" for form in ("", "Fast", "Pil")}:
        found = find_class(pipeline, "feature_extractor", ["transformers", name])
        assert found is not None
        assert not found.is_compiled


def test_a_scheduler_without_a_table_is_refused_with_the_reason():
    with pytest.raises(ExportError, match=r"\(its network takes the state inside EDM's scaling\)"):
        find_class("StableDiffusionXLPipeline", "scheduler", ["diffusers", "EDMEulerScheduler"])


def test_a_pipeline_must_be_text():
    assert check_pipeline("DiTPipeline") == "DiTPipeline"
    for value in (None, 1, ["DiTPipeline"], {"a": 1}, "ditpipeline"):
        with pytest.raises(ExportError, match="pipeline of the class"):
            check_pipeline(value)


def test_foreign_texts_are_shown_short_and_plain():
    assert shown("a\nb\x1b\u202e") == r"'a\nb\x1b\u202e'"
    assert len(shown("x" * 10**6)) == SHOWN + 3

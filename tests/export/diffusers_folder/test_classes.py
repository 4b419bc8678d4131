"""The tables of classes agree with each other and with what is installed."""

import diffusers
import pytest
import transformers

from denoisert.export.sources.diffusers.classes import (
    COMPONENTS,
    LEFT_OUT,
    PIPELINES,
    SCHEDULERS,
    SHOWN,
    Named,
    check_pipeline,
    find_class,
    shown,
)
from denoisert.export.sources.diffusers.settings import DEFAULTS
from denoisert.runtime.errors import ExportError

LIBRARIES = {"diffusers": diffusers, "transformers": transformers}


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_class_of_the_table_exists(component):
    for class_name, library in COMPONENTS[component].items():
        assert hasattr(LIBRARIES[library], class_name)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pipeline_exists_and_needs_known_components(pipeline):
    assert hasattr(diffusers, pipeline)
    assert set(PIPELINES[pipeline]) <= set(COMPONENTS)
    assert not set(PIPELINES[pipeline]) & set(LEFT_OUT)


def test_every_scheduler_has_settings():
    assert set(SCHEDULERS) == set(DEFAULTS) == set(COMPONENTS["scheduler"])


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pair_of_the_table_is_found(pipeline):
    for component in PIPELINES[pipeline]:
        for class_name, library in COMPONENTS[component].items():
            found = find_class(pipeline, component, [library, class_name])
            assert found == Named(library, class_name, is_compiled=True)


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


def test_a_pipeline_must_be_text():
    assert check_pipeline("DiTPipeline") == "DiTPipeline"
    for value in (None, 1, ["DiTPipeline"], {"a": 1}, "ditpipeline"):
        with pytest.raises(ExportError, match="pipeline of the class"):
            check_pipeline(value)


def test_foreign_texts_are_shown_short_and_plain():
    assert shown("a\nb\x1b\u202e") == r"'a\nb\x1b\u202e'"
    assert len(shown("x" * 10**6)) == SHOWN + 3

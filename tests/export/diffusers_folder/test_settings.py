"""Defaults are those of the installed diffusers, and every value has its default's type."""

import inspect
import json
import math

import diffusers
import pytest

from denoisert.export.sources.diffusers.defaults import DEFAULTS, UNLISTED
from denoisert.export.sources.diffusers.families import SAME, UNREAD, canonical
from denoisert.export.sources.diffusers.file import read_object
from denoisert.export.sources.diffusers.settings import (
    LEVELS,
    NEUTRAL,
    NEUTRAL_IN_DPM,
    NUMBERS,
    pick,
    read_settings,
)
from denoisert.runtime.errors import ExportError, InvalidInput

every_class = pytest.mark.parametrize("class_name", DEFAULTS)


def completed(class_name):
    """What is read where the file says nothing."""
    defaults = DEFAULTS[class_name]
    return {**(UNLISTED if LEVELS[0] in defaults else {}), **defaults}


def installed(class_name):
    """Default of every argument of the installed class."""
    parameters = inspect.signature(getattr(diffusers, class_name).__init__).parameters
    return {name: item.default for name, item in parameters.items() if name != "self"}


@every_class
def test_the_defaults_are_those_of_diffusers(class_name):
    expected = installed(class_name)
    if "lambda_min_clipped" in expected:
        assert expected.pop("lambda_min_clipped") == -math.inf
        expected["lambda_min_clipped"] = None
    if "disable_corrector" in expected:
        expected["disable_corrector"] = tuple(expected["disable_corrector"])
    assert dict(DEFAULTS[class_name]) == expected


@every_class
def test_neutral_values_are_defaults(class_name):
    """A configuration that says nothing must never be refused."""
    for key, value in (NEUTRAL | NEUTRAL_IN_DPM).items():
        if key in DEFAULTS[class_name]:
            assert DEFAULTS[class_name][key] == value
    assert read_settings(class_name, {}) == completed(class_name)


@every_class
def test_what_diffusers_saves_is_read(class_name, tmp_path):
    getattr(diffusers, class_name)().save_pretrained(tmp_path / "scheduler")
    root = (tmp_path / "scheduler").resolve()
    config = read_object(type(root)("scheduler_config.json"), root)
    assert read_settings(class_name, config) == completed(class_name)
    assert json.dumps(read_settings(class_name, config), allow_nan=False)


@every_class
def test_other_keys_are_ignored_and_null_is_the_default(class_name):
    config = dict.fromkeys(DEFAULTS[class_name]) | {"flavour": 3, "_class_name": class_name}
    assert read_settings(class_name, config) == completed(class_name)


@every_class
def test_whole_numbers_are_floats_where_the_default_is_one(class_name):
    for key, default in DEFAULTS[class_name].items():
        if isinstance(default, float):
            found = read_settings(class_name, {key: 1})[key]
            assert (found, type(found)) == (1.0, float)


@every_class
def test_every_setting_has_its_type(class_name):
    wrong = {bool: "yes", int: 0.5, float: "1.0", str: 3, tuple: 3}
    for key, default in DEFAULTS[class_name].items():
        if default is not None:
            with pytest.raises(InvalidInput, match=f"{class_name}.{key}"):
                read_settings(class_name, {key: wrong[type(default)]})
        elif key in NUMBERS:
            with pytest.raises(InvalidInput, match=f"{class_name}.{key}"):
                read_settings(class_name, {key: "1.0"})


@pytest.mark.parametrize("value", [True, [], {}, "linear "])
def test_a_bool_is_no_number_and_a_list_no_text(value):
    for key in ("num_train_timesteps", "beta_start", "beta_schedule"):
        if not (key == "beta_schedule" and isinstance(value, str)):
            with pytest.raises(InvalidInput, match=key):
                read_settings("DDIMScheduler", {key: value})


@pytest.mark.parametrize("key", NEUTRAL)
def test_every_other_value_is_refused(key):
    class_name = next(name for name, defaults in DEFAULTS.items() if key in defaults)
    default = DEFAULTS[class_name][key]
    other = {bool: True, str: "other", type(None): 0.5}[type(default)]
    with pytest.raises(ExportError, match=f"{class_name} has {key} = .*only {default!r}"):
        read_settings(class_name, {key: other})


@pytest.mark.parametrize("key", NEUTRAL_IN_DPM)
def test_shifts_of_a_pipeline_are_refused_where_flows_are_an_option(key):
    class_name, value = "UniPCMultistepScheduler", 1 if key == "shift_terminal" else True
    with pytest.raises(ExportError, match=f"{class_name} has {key} = "):
        read_settings(class_name, {key: value})
    assert read_settings("FlowMatchEulerDiscreteScheduler", {key: value})[key] == value


def test_levels_exclude_each_other():
    chosen = dict.fromkeys(LEVELS[1:], True)
    with pytest.raises(InvalidInput, match=f"{LEVELS[1]} and {LEVELS[2]} exclude each other"):
        read_settings("LMSDiscreteScheduler", chosen)


def test_ends_of_levels_are_read_where_the_signature_lacks_them():
    """diffusers keeps keys that it does not expect, and its levels look for these two."""
    config = {"sigma_min": 0.1, "sigma_max": 9, "flavour": 1}
    scheduler = diffusers.DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True)
    scheduler.set_timesteps(5)
    assert scheduler.sigmas[0].item() == pytest.approx(9.0)
    found = read_settings("DPMSolverMultistepScheduler", config)
    assert (found["sigma_min"], found["sigma_max"]) == (0.1, 9.0)
    assert "sigma_min" not in read_settings("DDIMScheduler", config)


def test_pick_names_the_key_the_value_and_what_is_known():
    assert pick({"key": 2}, "key", {1: "one", 2: "two"}) == "two"
    with pytest.raises(InvalidInput, match="key 3 is unknown; known are 1, 2"):
        pick({"key": 3}, "key", {1: "one", 2: "two"})


def test_every_class_without_a_table_exists_and_none_has_both():
    assert not set(UNREAD) & set(DEFAULTS)
    folder = {name for name in vars(diffusers.schedulers) if name.endswith("Scheduler")}
    assert set(UNREAD) <= folder | set(dir(diffusers))


@pytest.mark.parametrize("class_name", SAME)
def test_parallel_classes_have_the_defaults_of_the_others(class_name):
    assert canonical(class_name) == SAME[class_name]
    assert DEFAULTS[class_name] == DEFAULTS[SAME[class_name]]


def test_an_unknown_class():
    with pytest.raises(ExportError, match="'VQDiffusionScheduler' is unknown; known are DDIM"):
        read_settings("VQDiffusionScheduler", {})

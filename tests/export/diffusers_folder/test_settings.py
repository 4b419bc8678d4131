"""Defaults are those of the installed diffusers, and every value has its default's type."""

import inspect
import json
import math

import diffusers
import pytest

from denoisert.export.sources.diffusers.file import read_object
from denoisert.export.sources.diffusers.settings import (
    DEFAULTS,
    FLOW_NEUTRAL,
    NEUTRAL,
    NUMBERS,
    read_settings,
)
from denoisert.runtime.errors import ExportError, InvalidInput

every_class = pytest.mark.parametrize("class_name", DEFAULTS)


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
    assert dict(DEFAULTS[class_name]) == expected


@every_class
def test_neutral_values_are_defaults(class_name):
    """A configuration that says nothing must never be refused."""
    for key, value in (NEUTRAL | FLOW_NEUTRAL).items():
        if key in DEFAULTS[class_name]:
            assert DEFAULTS[class_name][key] == value
    assert read_settings(class_name, {}) == DEFAULTS[class_name]


@every_class
def test_what_diffusers_saves_is_read(class_name, tmp_path):
    getattr(diffusers, class_name)().save_pretrained(tmp_path / "scheduler")
    root = (tmp_path / "scheduler").resolve()
    config = read_object(type(root)("scheduler_config.json"), root)
    assert read_settings(class_name, config) == DEFAULTS[class_name]
    assert json.dumps(read_settings(class_name, config), allow_nan=False)


@every_class
def test_other_keys_are_ignored_and_null_is_the_default(class_name):
    config = dict.fromkeys(DEFAULTS[class_name]) | {"flavour": 3, "_class_name": class_name}
    assert read_settings(class_name, config) == DEFAULTS[class_name]


@every_class
def test_whole_numbers_are_floats_where_the_default_is_one(class_name):
    for key, default in DEFAULTS[class_name].items():
        if isinstance(default, float):
            found = read_settings(class_name, {key: 1})[key]
            assert (found, type(found)) == (1.0, float)


@every_class
def test_every_setting_has_its_type(class_name):
    wrong = {bool: "yes", int: 0.5, float: "1.0", str: 3}
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


def test_karras_is_refused_for_flows_alone():
    with pytest.raises(ExportError, match="use_karras_sigmas"):
        read_settings("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True})
    assert read_settings("EulerDiscreteScheduler", {"use_karras_sigmas": True})["use_karras_sigmas"]


def test_an_unknown_class():
    with pytest.raises(ExportError, match="'TCDScheduler' is unknown; known are DDIMScheduler"):
        read_settings("TCDScheduler", {})

"""What a scheduler configuration says, completed by the defaults of its class and checked by type.

Keys that a class does not have are ignored, as diffusers ignores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from denoisert.export.sources.diffusers.defaults import DEFAULTS, UNLISTED, Settings
from denoisert.export.sources.diffusers.families import UNREAD
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.errors import ExportError, InvalidInput

NEUTRAL: Final[Settings] = {
    "trained_betas": None,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "invert_sigmas": False,
    "tau_func": None,
    "solver_p": None,
}
"""Settings with one value that the tables reproduce; any other is refused by name."""

NEUTRAL_IN_DPM: Final[Settings] = {"use_dynamic_shifting": False, "shift_terminal": None}
"""Further ones of the solvers that take flows by `use_flow_sigmas`, whose pipelines shift them."""

NUMBERS: Final = ("sigma_min", "sigma_max", "lambda_min_clipped", "shift_terminal")
"""Settings that are a number or not set."""

LEVELS: Final = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
"""At most one of these is set."""

Value = TypeVar("Value")


def read_settings(class_name: str, config: Mapping[str, Any]) -> Settings:
    """Every setting of a scheduler class, typed.

    Args:
        class_name: a key of `DEFAULTS`.
        config: what its configuration file holds.

    Raises:
        ExportError: an unknown class, or a setting that no table reproduces.
        InvalidInput: a value of another type, or levels by two formulas.
    """
    if class_name not in DEFAULTS:
        raise ExportError(_unknown(class_name))
    known = DEFAULTS[class_name]
    defaults = {**(UNLISTED if LEVELS[0] in known else {}), **known}
    settings = complete(class_name, config, defaults)
    _check_neutral(class_name, settings)
    chosen = [key for key in LEVELS if settings.get(key)]
    if len(chosen) > 1:
        raise InvalidInput(f"{' and '.join(chosen)} exclude each other; set one of them.")
    return settings


def complete(class_name: str, config: Mapping[str, Any], defaults: Settings) -> Settings:
    """The settings of a class, each in the type of its default; null stands for the default.

    Args:
        class_name: for errors.
        config: what its configuration file holds.
        defaults: every setting that is read.

    Raises:
        InvalidInput: a value of another type.
    """
    return {
        key: _typed(class_name, key, config.get(key), default) for key, default in defaults.items()
    }


def pick(settings: Settings, key: str, values: Mapping[Any, Value]) -> Value:
    """What the value of a setting means.

    Args:
        settings: all.
        key: of one that is set.
        values: value -> meaning.

    Raises:
        InvalidInput: a value that has none.
    """
    value = settings[key]
    if value not in values:
        raise InvalidInput(
            f"{key} {shown(value)} is unknown; known are {', '.join(map(str, values))}."
        )
    return values[value]


def _unknown(class_name: str) -> str:
    if class_name in UNREAD:
        return f"{class_name} is no table of ours: {UNREAD[class_name]}. {_SAVE}"
    return f"scheduler {shown(class_name)} is unknown; known are {', '.join(DEFAULTS)}. {_SAVE}"


_SAVE: Final = "Save the pipeline with another scheduler."


def _check_neutral(class_name: str, settings: Settings) -> None:
    neutral_values = {**NEUTRAL, **(NEUTRAL_IN_DPM if "use_flow_sigmas" in settings else {})}
    for key, neutral in neutral_values.items():
        if settings.get(key, neutral) != neutral:
            raise ExportError(
                f"{class_name} has {key} = {shown(settings[key])}; only {neutral!r} is reproduced "
                "here. Save the pipeline with another scheduler configuration."
            )


def _typed(class_name: str, key: str, value: object, default: object) -> object:
    """The value in the type of its default; null stands for the default."""
    if value is None:
        return default
    kind = float if key in NUMBERS else type(default)
    if kind is type(None):
        return value
    return decode(tuple[int, ...] if kind is tuple else kind, value, f"{class_name}.{key}", {})

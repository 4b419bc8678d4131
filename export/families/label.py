"""A class label as the only condition, with the names that a folder gives its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from denoisert.export.families.configuration import whole
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.runtime.bundle.condition import ConditionInput, Source

LABEL: Final = "label"


def label_condition(folder: Folder, denoiser: Component, *, key: str) -> ConditionInput:
    """Labels 0 to n - 1; n stands for no class.

    Args:
        folder: its `id2label` names the classes.
        denoiser: has the number of classes.
        key: under which setting.
    """
    classes = whole(denoiser, key, 1000)
    names = folder.settings.get("id2label")
    labels = tuple(_names(names, classes)) if isinstance(names, Mapping) else ()
    return ConditionInput(LABEL, Source.CLASS_LABEL, "int64", (), classes, float(classes), labels)


def _names(names: Mapping[str, Any], classes: int) -> list[str]:
    """Names of all classes by number, or nothing where one is missing or not a text."""
    if len(names) < classes:  # which may be absurdly many
        return []
    found = [names.get(str(number)) for number in range(classes)]
    texts = [name for name in found if isinstance(name, str) and name]
    return texts if len(texts) == classes else []

"""Values of a component's configuration, checked by type and range when they are read."""

from __future__ import annotations

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError


def whole(component: Component, key: str, default: int) -> int:
    """A whole number.

    Args:
        component: whose configuration.
        key: of a number; missing and null mean the default.
        default: the class's own.

    Raises:
        ExportError: it is something else, or below 1.
    """
    value = component.config.get(key)
    value = default if value is None else value
    if type(value) is not int or value < 1:
        raise ExportError(
            f"{key} of {component.name} is {shown(value)}; it must be a whole number."
        )
    return value


def pair(component: Component, key: str, default: int) -> tuple[int, int]:
    """A height and a width, or one number for both.

    Raises:
        ExportError: it is something else, or below 1.
    """
    found = component.config.get(key) or default
    sizes = found if isinstance(found, list) else [found, found]
    if len(sizes) != 2 or not all(type(value) is int and value > 0 for value in sizes):
        raise ExportError(f"{key} of {component.name} is {shown(found)}; it must be 1 or 2 sizes.")
    return sizes[0], sizes[1]

"""Looks up the class names of a folder in the closed tables of the families; nothing is imported.

A folder names its classes as text. diffusers turns that text into an import; here it is only looked
up, so a name outside the tables can do nothing but be refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from denoisert.export.families.table import PIPELINES
from denoisert.export.sources.diffusers.families import UNREAD
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError


@dataclass(frozen=True, slots=True)
class Named:
    """A class that a folder asks for, found in the tables.

    Args:
        library: the package that has it.
        class_name: its present name.
        asked: its name in the folder, which may be an older one.
        is_compiled: False for the parts of a pipeline that a bundle leaves out.
    """

    library: str
    class_name: str
    asked: str
    is_compiled: bool = True


def check_pipeline(class_name: object) -> str:
    """The pipeline's class name.

    Raises:
        ExportError: it is none of the table's.
    """
    if not isinstance(class_name, str) or class_name not in PIPELINES:
        raise ExportError(
            f"the folder is a pipeline of the class {shown(class_name)}; this version compiles "
            f"{_listed(PIPELINES)}. Compile its denoiser alone as a torch module."
        )
    return class_name


def find_class(pipeline: str, component: str, pair: list[Any]) -> Named | None:
    """What a pair [library, class] of `model_index.json` means; nothing is imported.

    Args:
        pipeline: a key of the table.
        component: the pair's key.
        pair: two texts, or two nulls for a component that is not there.

    Returns:
        The class, or None for nulls.

    Raises:
        ExportError: a component that the pipeline does not have, or a class outside the tables.
    """
    roster = PIPELINES[pipeline]
    if component not in roster.compiled and component not in roster.left_out:
        raise ExportError(
            f"{shown(component)} = {shown(pair)} is no component of {pipeline}, which has "
            f"{_listed(roster)}. Remove the entry from model_index.json if the model works without."
        )
    if pair == [None, None]:
        return None
    is_compiled = component in roster.compiled
    known = roster.compiled[component] if is_compiled else roster.left_out[component]
    library, class_name = pair
    found = known.get(class_name) if isinstance(class_name, str) else None
    if found is None or found.library != library:
        pairs = ", ".join(f"[{each.library}, {name}]" for name, each in known.items())
        why = f" ({UNREAD[class_name]})" if class_name in UNREAD else ""
        raise ExportError(
            f"component {component} asks for {shown(pair)}{why}, which is not in the table of "
            f"classes that are read: {pairs}. Nothing was imported for it. Save the model with one "
            "of them."
        )
    return Named(found.library, found.name, class_name, is_compiled)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

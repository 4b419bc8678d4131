"""A diffusers folder as data: its components, their classes and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a folder.

    Args:
        name: its key in model_index.json and the name of its folder.
        library: the package of its class; one of the closed table.
        class_name: likewise; the class's present name where it was renamed.
        folder: where its files lie.
        config: its configuration, plain values.
    """

    name: str
    library: str
    class_name: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Folder:
    """A diffusers folder.

    Args:
        root: the folder, without links on the way.
        class_name: the pipeline's class; one of the closed table.
        components: those that are compiled, by name.
        settings: what model_index.json says besides, such as `id2label`.
        notes: what the user should know, one sentence each.
    """

    root: Path
    class_name: str
    components: Mapping[str, Component]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()

"""A diffusers folder as data: which components it has, of which classes, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from denoisert.export.families.table import PIPELINES
from denoisert.export.sources.diffusers.classes import Named, check_pipeline, find_class
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.file import is_there, read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.keys import check_pipeline_keys, check_scheduler_keys
from denoisert.runtime.errors import ExportError

INDEX_NAME: Final = "model_index.json"
CONFIG_NAMES: Final[Mapping[str, str]] = {
    "scheduler": "scheduler_config.json",
    "tokenizer": "tokenizer_config.json",
    "tokenizer_2": "tokenizer_config.json",
    "tokenizer_3": "tokenizer_config.json",
}
"""Component without weights -> name of its configuration; all others have config.json."""

REMOTE: Final = (
    "auto_map",
    "custom_pipelines",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "use_kernels",
    "trust_remote_code",
)
"""Keys with which a configuration names code to fetch or to choose."""

BUILT_IN: Final = ("eager", "sdpa")
"""Values of those keys that fetch nothing: attention as torch has it."""


def is_diffusers_folder(path: Path) -> bool:
    """Whether a folder looks like one that diffusers saved."""
    return (path / INDEX_NAME).is_file()


def read_folder(path: Path) -> Folder:
    """Read `model_index.json` and every component's configuration; no weights, no imports.

    Args:
        path: the folder.

    Raises:
        ExportError: a file is missing, too long, no strict JSON or a link elsewhere, a class is not
            in the tables, a component is missing or unknown, or a configuration contradicts it.
    """
    root = path.resolve()
    index = read_object(Path(INDEX_NAME), root)
    pipeline = check_pipeline(index.get("_class_name"))
    found = {
        name: named
        for name, value in index.items()
        if _is_pair(name, value) and (named := find_class(pipeline, name, value))
    }
    _check_complete(pipeline, found)
    components = {
        name: _component(root, name, named) for name, named in found.items() if named.is_compiled
    }
    settings = {name: value for name, value in index.items() if not isinstance(value, list)}
    check_pipeline_keys(pipeline, settings)
    notes = tuple(
        f"{name} ({named.class_name}) is left out: a bundle has no such component."
        for name, named in found.items()
        if not named.is_compiled
    )
    return Folder(root, pipeline, components, settings, notes)


def _is_pair(name: str, value: object) -> bool:
    """Whether an entry names a class; other lists have no meaning here."""
    if not isinstance(value, list):
        return False
    if len(value) != 2 or not all(item is None or isinstance(item, str) for item in value):
        raise ExportError(
            f"{INDEX_NAME} has {shown(name)} = {shown(value)}; a component is [library, class]. "
            "Save the pipeline again."
        )
    return True


def _check_complete(pipeline: str, found: Mapping[str, Named]) -> None:
    needed = PIPELINES[pipeline].needed
    missing = [name for name in needed if name not in found]
    if missing:
        raise ExportError(
            f"{pipeline} needs {', '.join(needed)}; {INDEX_NAME} has no "
            f"{', '.join(missing)}. Save the whole pipeline with save_pretrained."
        )


def _component(root: Path, name: str, named: Named) -> Component:
    config_name = CONFIG_NAMES.get(name, "config.json")
    folder = root if _is_flat(root, name, config_name) else root / name
    if not folder.is_dir():
        found = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        other = f"a file {name}, and " if folder.is_file() else ""
        raise ExportError(
            f"{INDEX_NAME} lists the component {name}, but there is no folder {name}/; found "
            f"{other}{', '.join(found) or 'no folders'}. Is the download complete?"
        )
    config = read_object(folder.relative_to(root) / config_name, root)
    _check_config(name, named, config)
    component = Component(name, named.library, named.class_name, folder, config)
    if name == "scheduler":
        check_scheduler_keys(component)
    return component


def _is_flat(root: Path, name: str, config_name: str) -> bool:
    """Whether a component lies beside the index, as those of the first DDPM folders do."""
    return not is_there(root / name) and is_there(root / config_name)


def _check_config(name: str, named: Named, config: Mapping[str, Any]) -> None:
    remote = [key for key in REMOTE if config.get(key) and config[key] not in BUILT_IN]
    if remote:
        raise ExportError(
            f"the configuration of {name} has {remote[0]} = {shown(config[remote[0]])}, which "
            "names code outside the folder; nothing of it is fetched or run. Remove the key if the "
            "model works without."
        )
    if config.get("quantization_config"):
        raise ExportError(
            f"{name} is quantised (quantization_config); only float weights are read. Save the "
            "model in float16 or float32."
        )
    said = config.get("_class_name", config.get("architectures"))
    known = (named.class_name, named.asked)
    is_said = said is None or said in known or said in [[each] for each in known]
    if not name.startswith("tokenizer") and not is_said:
        raise ExportError(
            f"{INDEX_NAME} says that {name} is {named.class_name}, its own configuration says "
            f"{shown(said)}. Make the two agree."
        )

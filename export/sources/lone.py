"""Paths that are a piece of a model of diffusers, and what to give instead."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from denoisert.export.sources.diffusers.file import read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError

INDEX: Final = "model_index.json"
CONFIGS: Final = ("config.json", "scheduler_config.json", "tokenizer_config.json")
SUFFIX: Final = ".safetensors"
CLASSES: Final = ("_class_name", "architectures", "tokenizer_class", "model_type")
"""Keys that name a component's class."""


def refuse_lone(path: Path) -> None:
    """Refuse a component's folder, a pipeline without its index, and a file that needs a folder.

    Args:
        path: that has no `model_index.json`; whatever is none of these passes.

    Raises:
        ExportError: what the path looks like, and what to give.
    """
    if path.is_dir():
        if not (path / INDEX).exists():
            _refuse_folder(path)
    elif path.name == INDEX:
        raise ExportError(
            f"{path} is the index of a pipeline. Give the folder that it lies in, {path.parent}."
        )
    elif path.is_file() and path.suffix.lower() == SUFFIX:
        raise ExportError(
            f"{path.name} holds weights alone; what they mean is not in the file. Add --config "
            f"FOLDER: {INDEX}, configurations and tokenizers of the model, as diffusers saves them."
        )


def _refuse_folder(path: Path) -> None:
    asked = f"{path} has no {INDEX}, so it is no pipeline of diffusers"
    class_name = _class_of(path)
    if class_name is not None:
        above = path.absolute().parent
        instead = (
            f"Give the folder above it, {above}"
            if (above / INDEX).is_file()
            else f"Give the folder of the whole pipeline: its save_pretrained writes {INDEX}"
        )
        raise ExportError(f"{asked}; it looks like one component, {class_name}. {instead}.")
    parts = [entry.name for entry in sorted(path.iterdir()) if entry.is_dir() and _class_of(entry)]
    if parts:
        raise ExportError(
            f"{asked}; it has the components {', '.join(parts)}. Complete the download: {INDEX} "
            "says which pipeline they belong to."
        )
    files = sorted(file.name for file in path.glob(f"*{SUFFIX}"))
    if files and not (path / CONFIGS[0]).exists():
        raise ExportError(
            f"{asked}; it holds {', '.join(files[:3])}. A checkpoint of a whole model is compiled "
            "by the path of its file, with --config FOLDER."
        )


def _class_of(folder: Path) -> str | None:
    """The class that a component's configuration names, as an error may show it."""
    for name in CONFIGS:
        if not (folder / name).is_file():
            continue
        try:
            config = read_object(Path(name), folder.resolve())
        except ExportError:
            continue  # of another kind; whoever reads it says what is wrong
        found = [config[key] for key in CLASSES if config.get(key)]
        if found:
            return shown(found[0])
    return None

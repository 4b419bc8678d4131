"""The weight files of one component: which they are, and the one or several safetensors they hold.

An index names shards and says which tensor lies where. Nothing in it is believed: names are plain,
shards lie in the component's folder, and every tensor is exactly where the index says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.file import check_file, is_there, read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.zoo import PICKLED
from denoisert.runtime.bundle.weights import Tensor, read_header
from denoisert.runtime.errors import ExportError, Tampered

VARIANTS: Final = ("", ".fp16")
"""Infixes in order of preference: full precision first."""

INDEX_BYTES: Final = 16 * 2**20
MOST_SHARDS: Final = 1000
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\.safetensors")


def find_weights(folder: Path, stem: str, root: Path | None = None) -> tuple[Path, ...]:
    """The weight files of a component, their headers and their index checked.

    Args:
        folder: the component's folder, directly below the model's or the model's own.
        stem: "diffusion_pytorch_model" for diffusers, "model" for transformers.
        root: the model's folder; by default the one above the component's.

    Returns:
        One file, or the shards that an index lists, sorted. Full precision is preferred to float16.

    Raises:
        ExportError: there are none or two kinds, they are pickled, or a shard or tensor is missing,
            doubled or elsewhere than the index says.
    """
    is_flat = root is not None and folder == root
    root = (folder.absolute().parent if root is None else root).resolve()
    folder = root if is_flat else root / folder.name
    for variant in VARIANTS:
        single = folder / f"{stem}{variant}.safetensors"
        index = folder / f"{stem}.safetensors.index{variant}.json"
        if is_there(single) and is_there(index):
            raise ExportError(
                f"{folder.name} has both {single.name} and {index.name}; it cannot be told which "
                "is meant. Delete one of them."
            )
        if is_there(single):
            read_headers((check_file(single, root),), folder.name)
            return (single,)
        if is_there(index):
            return _sharded(index, root)
    raise ExportError(_missing(folder, stem))


def read_headers(paths: Iterable[Path], where: str) -> dict[str, tuple[Tensor, Path]]:
    """Tensor name -> where it lies, over all files of a component.

    Args:
        paths: safetensors files.
        where: the component, for errors.

    Raises:
        ExportError: a file is damaged, or a tensor is in two of them.
    """
    found: dict[str, tuple[Tensor, Path]] = {}
    for path in paths:
        try:
            header = read_header(path)
        except Tampered as error:
            raise ExportError(f"{where}: {error} Download or save it again.") from error
        doubled = sorted(header.keys() & found.keys())
        if doubled:
            raise ExportError(
                f"{where}: tensor {shown(doubled[0])} is in {found[doubled[0]][1].name} and in "
                f"{path.name}. Save the model again."
            )
        found |= {name: (tensor, path) for name, tensor in header.items()}
    return found


def _sharded(index: Path, root: Path) -> tuple[Path, ...]:
    folder = index.parent
    places = _places(read_object(index.relative_to(root), root, INDEX_BYTES), index)
    paths = tuple(folder / name for name in sorted(set(places.values())))
    missing = [path.name for path in paths if not is_there(path)]
    if missing:
        raise ExportError(
            f"{folder.name}/{index.name} lists {len(paths)} shards, of which {len(missing)} are "
            f"missing: {', '.join(missing[:3])}. Complete the download."
        )
    for path in paths:
        check_file(path, root)
    headers = read_headers(paths, folder.name)
    _check_places(places, headers, index)
    return paths


def _places(data: Mapping[str, Any], index: Path) -> dict[str, str]:
    """Tensor name -> file name, as the index has it."""
    places = data.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ExportError(
            f"{index.name} has no weight_map, so the shards are unknown. Save the model again."
        )
    for name in set(map(str, places.values())):
        if not _PLAIN.fullmatch(name):
            raise ExportError(
                f"{index.name} lists the shard {shown(name)}; only the plain name of a safetensors "
                "file beside it is read. Save the model again."
            )
    if len(set(places.values())) > MOST_SHARDS:
        raise ExportError(f"{index.name} lists more than {MOST_SHARDS} shards.")
    return places


def _check_places(
    places: Mapping[str, str], headers: Mapping[str, tuple[Tensor, Path]], index: Path
) -> None:
    found = {name: path.name for name, (_, path) in headers.items()}
    absent = sorted(places.keys() - found.keys())
    extra = sorted(found.keys() - places.keys())
    moved = sorted(name for name in places if name in found and found[name] != places[name])
    for kind, names in (("absent", absent), ("not listed", extra), ("elsewhere", moved)):
        if names:
            raise ExportError(
                f"{index.name} and its shards disagree: {len(names)} tensors are {kind}, such as "
                f"{shown(names[0])}, which should be in {places.get(names[0], 'no shard')} and is "
                f"in {found.get(names[0], 'none')}. Download them again."
            )


def _missing(folder: Path, stem: str) -> str:
    """Why a component without safetensors cannot be read, and what to do."""
    entries = sorted(entry.name for entry in folder.iterdir())
    pickled = [name for name in entries if name.lower().endswith(PICKLED)]
    if pickled:
        return (
            f"{folder.name} has only pickled weights, {pickled[0]}, and reading them could run any "
            "code. Convert them where that is safe: load the pipeline with diffusers and call "
            "save_pretrained(folder, safe_serialization=True)."
        )
    return (
        f"{folder.name} has no weights: looked for {stem}.safetensors and its index; found "
        f"{', '.join(entries[:8]) or 'nothing'}. Save the model with safe_serialization=True."
    )

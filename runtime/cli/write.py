"""Writes the results of `generate`: single pictures, a grid of them, latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.cli.output import Output, replaced, stems
from denoisert.runtime.cli.sheet import near_square, sheet
from denoisert.runtime.result import Result

if TYPE_CHECKING:
    from PIL.Image import Image


def write(
    output: Output, conditions: Sequence[str], seed: int, images: int, results: Sequence[Result]
) -> list[Path]:
    """Write what is asked for.

    Args:
        output: the places, already checked.
        conditions: of the requests, as they were typed.
        seed: of all requests.
        images: pictures per request.
        results: one per request; one with an error has no files, and its places in the grid stay
            empty.

    Returns:
        Every file written, in order.

    Raises:
        OSError: the disk is full or refuses; no half-written file is left.
    """
    files = []
    for result, paths in zip(
        results, output.pictures(stems(conditions, seed), images), strict=True
    ):
        if result.error is None:
            files += _write_pictures(result, paths, output.format)
    if output.grid is not None:
        columns = images if images > 1 else near_square(len(results))
        cells = [cell for result in results for cell in _cells(result, images)]
        with replaced(output.grid) as draft:
            sheet(cells, columns).save(draft, format="PNG")
        files.append(output.grid)
    if output.latents is not None:
        with replaced(output.latents) as draft:
            write_arrays(draft, _arrays(conditions, seed, results))
        files.append(output.latents)
    return files


def _write_pictures(result: Result, paths: Sequence[Path], picture_format: str) -> list[Path]:
    for path, data in zip(paths, result.encode(picture_format) if paths else [], strict=True):
        path.parent.mkdir(exist_ok=True)
        with replaced(path) as draft:
            draft.write_bytes(data)
    return list(paths)


def _cells(result: Result, images: int) -> Sequence[Image | None]:
    return [None] * images if result.error is not None else result.images


def _arrays(
    conditions: Sequence[str], seed: int, results: Sequence[Result]
) -> dict[str, NDArray[Any]]:
    """Every part of the state, (pictures, *shape), and what each picture is."""
    pairs = [pair for pair in zip(conditions, results, strict=True) if pair[1].error is None]
    counts = [len(result.flat) for _, result in pairs]
    states = {
        part.name: np.concatenate([result.latents[part.name] for _, result in pairs])
        for part in results[0].layout.parts
    }
    return {
        "condition": np.repeat([condition for condition, _ in pairs], counts),
        "seed": np.full(sum(counts), seed, np.uint64),
        "image": np.concatenate([np.arange(count) for count in counts]),
        **states,
    }


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as .npz under any name; equal arrays give equal bytes.

    Args:
        path: the file.
        arrays: name -> array without Python objects.
    """
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

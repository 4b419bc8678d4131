"""The pieces of a byte-pair encoding and the order in which they merge, from either of two forms.

`vocab.json` with `merges.txt`, or the `model` of a `tokenizer.json`, which libraries prefer where
both are there. The Rust library fails on broken ones with errors of no type, so all is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.file import is_there, read_bytes, read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError

VOCABULARY_BYTES: Final = 32 * 2**20
VOCABULARY: Final = "vocab.json"
MERGES: Final = "merges.txt"
WHOLE: Final = "tokenizer.json"

Merge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-pair encoding.

    Args:
        ids: piece -> id, 0 to n - 1.
        merges: pairs of pieces, first things first.
    """

    ids: dict[str, int]
    merges: list[Merge]


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read and check the vocabulary of a tokenizer's folder.

    Args:
        folder: directly below the model's folder.

    Raises:
        ExportError: files are missing or disagree, ids leave holes, or a merge is of no piece.
    """
    root = folder.absolute().parent.resolve()
    is_whole, is_split = is_there(folder / WHOLE), is_there(folder / VOCABULARY)
    if not is_whole and not is_split:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        raise ExportError(
            f"{folder.name} needs {VOCABULARY} and {MERGES}, or {WHOLE}; found {found}. Save the "
            "tokenizer with save_pretrained."
        )
    ids = _checked_ids(_object(folder, VOCABULARY, root), VOCABULARY) if is_split else None
    if not is_whole:
        return _checked(Vocabulary(ids or {}, _read_merges(folder, root)), MERGES)
    model = _object(folder, WHOLE, root).get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise ExportError(
            f"{WHOLE} has a model of type {shown(kind)}; CLIP's tokenizers are of type BPE."
        )
    whole = _checked_ids(model.get("vocab"), WHOLE)
    if ids is not None and ids != whole:
        raise ExportError(
            f"{VOCABULARY} has {len(ids)} pieces and {WHOLE} {len(whole)}, and they are not the "
            "same. Delete the one that the model was not trained with."
        )
    return _checked(Vocabulary(whole, _whole_merges(model.get("merges"))), WHOLE)


def _object(folder: Path, name: str, root: Path) -> dict[str, Any]:
    return read_object(Path(folder.name, name), root, VOCABULARY_BYTES)


def _checked_ids(ids: object, name: str) -> dict[str, int]:
    if (
        not isinstance(ids, dict)
        or not ids
        or any(type(value) is not int for value in ids.values())
    ):
        raise ExportError(f"{name} has no vocabulary: an object of pieces and whole numbers.")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ExportError(
            f"{name} has {len(ids)} pieces; their ids must be 0 to {len(ids) - 1}, each once. Save "
            "the tokenizer again."
        )
    _check_text(ids, name)
    return ids


def _read_merges(folder: Path, root: Path) -> list[Merge]:
    content = read_bytes(Path(folder.name, MERGES), root, VOCABULARY_BYTES)
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ExportError(f"{MERGES} is not UTF-8: {error}. Save the tokenizer again.") from error
    kept = [line.removesuffix("\r") for line in lines]
    return [_pair(line.split(" "), MERGES) for line in kept if line and line[:8] != "#version"]


def _whole_merges(merges: object) -> list[Merge]:
    """Pairs, or in older files texts with a space between."""
    if not isinstance(merges, list):
        raise ExportError(f"{WHOLE} has merges {shown(merges)}; they must be a list.")
    return [_pair(m.split(" ") if isinstance(m, str) else m, WHOLE) for m in merges]


def _pair(pieces: object, name: str) -> Merge:
    texts = [p for p in pieces if isinstance(p, str) and p] if isinstance(pieces, list) else []
    if len(texts) != 2 or texts != pieces:
        raise ExportError(f"{name} has the merge {shown(pieces)}; a merge is two pieces.")
    return texts[0], texts[1]


def _checked(vocabulary: Vocabulary, name: str) -> Vocabulary:
    ids = vocabulary.ids
    for left, right in vocabulary.merges:
        if not (left in ids and right in ids and left + right in ids):
            raise ExportError(
                f"{name} merges {shown(left)} and {shown(right)}; these and what they make must be "
                "pieces. Vocabulary and merges are of different models."
            )
    return vocabulary


def _check_text(ids: Mapping[str, int], name: str) -> None:
    for piece in ids:
        try:
            piece.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ExportError(f"{name} has the piece {shown(piece)}, which is no text.") from error

"""The pieces of a Unigram tokenizer and their scores, from either of two forms.

The `model` of a `tokenizer.json`, which libraries prefer where both are there, or a sentencepiece
file, to which T5's class adds the sentinels behind the last piece.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.file import is_there, read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.spiece import SPIECE, Kind, read_spiece
from denoisert.export.sources.diffusers.vocabulary import VOCABULARY_BYTES, WHOLE
from denoisert.runtime.errors import ExportError

UNKNOWN_ID: Final = 2
"""Id of the unknown piece in T5's class, whatever a file says."""

Scored = tuple[str, float]


@dataclass(frozen=True, slots=True)
class Pieces:
    """A Unigram model.

    Args:
        scored: pieces with their log probabilities, in the order of ids.
        charsmap: sentencepiece's compiled normaliser; empty where texts stay as they are.
        control: pieces that a sentencepiece file marks as cut out of texts, and whether each of
            them is special; None where another file says which tokens those are.
    """

    scored: tuple[Scored, ...]
    charsmap: bytes
    control: tuple[tuple[str, bool], ...] | None = None


def read_pieces(folder: Path, sentinels: Iterable[str]) -> Pieces:
    """Read and check the pieces of a tokenizer's folder.

    Args:
        folder: directly below the model's folder.
        sentinels: texts of `<extra_id_n>`, n from 0, that follow those of a sentencepiece file.

    Raises:
        ExportError: files are missing or broken, or a piece is twice there.
    """
    if is_there(folder / WHOLE):
        return _checked(_read_whole(folder), WHOLE)
    if is_there(folder / SPIECE):
        return _checked(_read_spiece(folder, tuple(sentinels)), SPIECE)
    found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    raise ExportError(
        f"{folder.name} needs {WHOLE} or {SPIECE}; found {found}. Save the tokenizer with "
        "save_pretrained."
    )


def _read_spiece(folder: Path, sentinels: tuple[str, ...]) -> Pieces:
    file = read_spiece(folder)
    _check_unknown(file.unknown, SPIECE)
    cut = (Kind.CONTROL, Kind.USER_DEFINED)
    control = tuple(
        (piece, kind == Kind.CONTROL)
        for (piece, _), kind in zip(file.scored, file.kinds, strict=True)
        if kind in cut
    )
    added = tuple((text, 0.0) for text in reversed(sentinels))
    return Pieces((*file.scored, *added), file.charsmap, control)


def _read_whole(folder: Path) -> Pieces:
    root = folder.absolute().parent.resolve()
    whole = read_object(Path(folder.name, WHOLE), root, VOCABULARY_BYTES)
    model = whole.get("model")
    if not isinstance(model, dict) or model.get("type") != "Unigram":
        kind = model.get("type") if isinstance(model, dict) else model
        raise ExportError(
            f"{WHOLE} has a model of type {shown(kind)}; T5's tokenizers are of type Unigram."
        )
    _check_unknown(model.get("unk_id"), WHOLE)
    entries = model.get("vocab")
    if not isinstance(entries, list):
        raise ExportError(f"{WHOLE} has vocab {shown(entries)}; it must list pieces with scores.")
    return Pieces(tuple(map(_scored, entries)), _charsmap(whole.get("normalizer")))


def _scored(entry: object) -> Scored:
    if isinstance(entry, list) and len(entry) == 2:
        piece, score = entry
        if isinstance(piece, str) and type(score) in (int, float):
            return piece, float(score)
    raise ExportError(f"{WHOLE} has the piece {shown(entry)}; a piece is a text and a number.")


def _charsmap(normalizer: object) -> bytes:
    """The first compiled normaliser; T5's class takes no other step from the file."""
    steps = normalizer if isinstance(normalizer, Mapping) else {}
    listed: Any = steps.get("normalizers") if steps.get("type") == "Sequence" else [steps]
    for step in listed if isinstance(listed, list) else []:
        if isinstance(step, Mapping) and step.get("type") == "Precompiled":
            text = step.get("precompiled_charsmap")
            try:
                return base64.b64decode(text or "", validate=True)
            except (TypeError, ValueError, binascii.Error) as error:
                raise ExportError(
                    f"{WHOLE} has precompiled_charsmap {shown(text)}, which is no base64: {error}."
                ) from error
    return b""


def _check_unknown(number: object, name: str) -> None:
    if number != UNKNOWN_ID or isinstance(number, bool):
        raise ExportError(
            f"{name} says that piece {shown(number)} stands for what is unknown; in T5's "
            f"tokenizers it is {UNKNOWN_ID}, after padding and end."
        )


def _checked(pieces: Pieces, name: str) -> Pieces:
    seen: set[str] = set()
    for piece, score in pieces.scored:
        if piece in seen or not piece or not math.isfinite(score):
            raise ExportError(
                f"{name} has the piece {shown(piece)} with score {score}; pieces are texts, each "
                "once, and scores are finite."
            )
        seen.add(piece)
    if len(pieces.scored) <= UNKNOWN_ID:
        raise ExportError(
            f"{name} has {len(pieces.scored)} pieces; padding, end and unknown are 3 already."
        )
    return pieces

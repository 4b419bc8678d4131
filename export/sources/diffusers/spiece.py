"""A sentencepiece file, `spiece.model`: pieces with scores, in protobuf's form.

sentencepiece itself is not needed: the few fields that matter are described here, with their
numbers, and every other field is passed over.

Source: google/sentencepiece, src/sentencepiece_model.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.file import read_bytes
from denoisert.export.sources.diffusers.vocabulary import VOCABULARY_BYTES
from denoisert.runtime.errors import ExportError

SPIECE: Final = "spiece.model"
UNIGRAM: Final = 1
"""model_type of the only kind that is read; the other kinds are BPE, words and characters."""

_STRING, _FLOAT, _INT, _BYTES, _BOOL, _MESSAGE = 9, 2, 5, 12, 8, 11
_FIELDS: Final = {
    "Piece": (("piece", 1, _STRING), ("score", 2, _FLOAT), ("type", 3, _INT)),
    "Trainer": (("model_type", 3, _INT), ("byte_fallback", 35, _BOOL), ("unk_id", 40, _INT)),
    "Normalizer": (("precompiled_charsmap", 2, _BYTES),),
    "Model": (("pieces", 1, "Piece"), ("trainer", 2, "Trainer"), ("normalizer", 3, "Normalizer")),
}
"""Message -> (field, number, type or message)."""

_DEFAULTS: Final = {"type": "1", "model_type": "1"}


class Kind(IntEnum):
    """What a piece is for; those that are cut out of a text before it is divided have names."""

    CONTROL = 3
    USER_DEFINED = 4


@dataclass(frozen=True, slots=True)
class Spiece:
    """What a sentencepiece file says.

    Args:
        scored: pieces with their log probabilities, in the order of ids.
        kinds: number that says what each piece is for; see `Kind`.
        unknown: id of the piece that stands for what no other piece covers.
        charsmap: the compiled normaliser; empty where texts stay as they are.
    """

    scored: tuple[tuple[str, float], ...]
    kinds: tuple[int, ...]
    unknown: int
    charsmap: bytes


def read_spiece(folder: Path) -> Spiece:
    """Read the sentencepiece file of a tokenizer's folder.

    Args:
        folder: directly below the model's folder.

    Raises:
        ExportError: it is missing, no sentencepiece file, or of another kind than Unigram.
    """
    from google.protobuf.message import DecodeError

    root = folder.absolute().parent.resolve()
    content = read_bytes(Path(folder.name, SPIECE), root, VOCABULARY_BYTES)
    try:
        model = _model_class().FromString(content)
        scored = tuple((piece.piece, piece.score) for piece in model.pieces)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ExportError(
            f"{SPIECE} is no sentencepiece file: {error}. Copy it again; with git, fetch its LFS "
            "content."
        ) from error
    if model.trainer.model_type != UNIGRAM or model.trainer.byte_fallback:
        raise ExportError(
            f"{SPIECE} has model_type {model.trainer.model_type} and byte_fallback "
            f"{model.trainer.byte_fallback}; T5's tokenizers are Unigram (1) without fallback."
        )
    return Spiece(
        scored,
        tuple(piece.type for piece in model.pieces),
        model.trainer.unk_id,
        model.normalizer.precompiled_charsmap,
    )


@cache
def _model_class() -> Any:  # noqa: ANN401  a class that protobuf makes of `_FIELDS`
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="spiece.proto", package="spiece")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            is_message = isinstance(kind, str)
            label = 3 if field == "pieces" else 1  # repeated, or at most once
            entry = message.field.add(name=field, number=number, label=label)
            entry.type = _MESSAGE if is_message else kind
            if is_message:
                entry.type_name = f".spiece.{kind}"
            elif field in _DEFAULTS:
                entry.default_value = _DEFAULTS[field]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spiece.Model"))

"""T5's tokenizer as the one JSON file that a bundle carries.

sentencepiece's compiled normaliser, where there is one, then words at white space, each with a mark
in front, and of all ways to divide a word into pieces the one with the largest sum of scores.

The steps are those of transformers' class and not of the folder, which only has pieces, scores and
the normaliser: `legacy` and `add_prefix_space` change nothing there, either.

Source: transformers 5.23, models/t5/tokenization_t5.py; Kudo 2018, arXiv 1804.10959.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram

from denoisert.export.sources.diffusers.charsmap import check_charsmap
from denoisert.export.sources.diffusers.file import read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.pieces import UNKNOWN_ID, Pieces, read_pieces
from denoisert.export.sources.diffusers.sentinels import Sentinels, read_count, sentinels
from denoisert.export.sources.diffusers.special import (
    END,
    PAD,
    UNKNOWN,
    Roles,
    SpecialTokens,
    read_special,
)
from denoisert.export.sources.diffusers.tokenizer import CONFIG, check_places, check_sides
from denoisert.export.sources.diffusers.tokens import MOST_TOKENS, Tokens
from denoisert.runtime.errors import ExportError

MARK: Final = "\u2581"
"""Stands for the white space before a word."""

DEFAULTS: Final[Mapping[str, str]] = {END: "</s>", UNKNOWN: "<unk>", PAD: "<pad>"}


def read_unigram(folder: Path) -> Tokens:
    """Build the T5 tokenizer of a folder; neither transformers nor sentencepiece is needed.

    Args:
        folder: directly below the model's folder.

    Returns:
        Tokens whose `length` is only what the folder says: the pipelines with T5 have their own.

    Raises:
        ExportError: files are missing, broken or disagree.
    """
    config = read_object(Path(folder.name, CONFIG), folder.absolute().parent.resolve())
    check_sides(folder, config)
    count = read_count(config)
    pieces = read_pieces(folder, sentinels(count))
    roles = Roles(DEFAULTS, Sentinels(count, pieces.control))
    special = read_special(folder, config, roles)
    _check_unknown(special, pieces)
    tokenizer = _build(pieces, special)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    check_places(special, ids)
    return Tokens(
        tokenizer.to_str().encode("utf-8"),
        length=_length(config),
        size=len(ids),
        start=(),
        end=(ids[special.names[END]],),
        pad=ids[special.names[PAD]],
    )


def _build(pieces: Pieces, special: SpecialTokens) -> Tokenizer:
    tokenizer = Tokenizer(Unigram(list(pieces.scored), unk_id=UNKNOWN_ID, byte_fallback=False))
    if pieces.charsmap:
        check_charsmap(pieces.charsmap)
        tokenizer.normalizer = normalizers.Precompiled(pieces.charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(MARK, "always", split=True)]
    )
    tokenizer.decoder = decoders.Metaspace(MARK, "always", split=True)
    tokenizer.add_tokens([AddedToken(**token) for token in special.tokens])
    return tokenizer


def _check_unknown(special: SpecialTokens, pieces: Pieces) -> None:
    found = pieces.scored[UNKNOWN_ID][0]
    if special.names[UNKNOWN] != found:
        raise ExportError(
            f"unk_token is {shown(special.names[UNKNOWN])} and piece {UNKNOWN_ID} is "
            f"{shown(found)}. Pieces and {CONFIG} are of different models."
        )


def _length(config: Mapping[str, Any]) -> int:
    length = config.get("model_max_length")
    return length if type(length) is int and 2 <= length <= MOST_TOKENS else MOST_TOKENS

"""CLIP's tokenizer as the one JSON file that a bundle carries.

The text is put into NFC, white space becomes single spaces, letters become small; it is cut into
words, contractions, single digits and runs of other characters; the UTF-8 bytes of each become
letters, which merge, the last one marked by `</w>`. Special tokens are cut out first.

The steps are those of transformers' class and not of the folder, which only has the vocabulary.

Source: transformers 5.23, models/clip/tokenization_clip.py; Radford et al. 2021, arXiv 2103.00020.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from denoisert.export.sources.diffusers.file import is_there, read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.special import (
    END,
    PAD,
    START,
    UNKNOWN,
    Roles,
    SpecialTokens,
    read_special,
)
from denoisert.export.sources.diffusers.tokens import MOST_TOKENS, Tokens
from denoisert.export.sources.diffusers.vocabulary import (
    VOCABULARY_BYTES,
    WHOLE,
    Vocabulary,
    read_vocabulary,
)
from denoisert.runtime.errors import ExportError

CONFIG: Final = "tokenizer_config.json"
SIDES: Final = {"padding_side": "padding", "truncation_side": "truncation"}
"""Key of the configuration -> part of tokenizer.json that says it, too."""

RIGHT: Final = "right"
ROLES: Final = Roles(
    {
        START: "<|startoftext|>",
        END: "<|endoftext|>",
        UNKNOWN: "<|endoftext|>",
        PAD: "<|endoftext|>",
    }
)
END_OF_WORD: Final = "</w>"
WORDS: Final = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def read_tokenizer(folder: Path) -> Tokens:
    """Build the tokenizer of a folder; transformers is not needed for it.

    Args:
        folder: directly below the model's folder.

    Raises:
        ExportError: files are missing, broken or disagree, or ask for what CLIP's tokenizers lack.
    """
    config = read_object(Path(folder.name, CONFIG), folder.absolute().parent.resolve())
    vocabulary = read_vocabulary(folder)
    check_sides(folder, config)
    special = read_special(folder, config, ROLES)
    if special.names[UNKNOWN] not in vocabulary.ids:
        raise ExportError(
            f"the unknown token {shown(special.names[UNKNOWN])} is no piece of the vocabulary. "
            f"Correct unk_token in {CONFIG}."
        )
    tokenizer = _build(vocabulary, special)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    check_places(special, ids)
    return Tokens(
        tokenizer.to_str().encode("utf-8"),
        length=_length(config),
        size=len(ids),
        start=(ids[special.names[START]],),
        end=(ids[special.names[END]],),
        pad=ids[special.names[PAD]],
    )


def _build(vocabulary: Vocabulary, special: SpecialTokens) -> Tokenizer:
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary.ids,
            merges=vocabulary.merges,
            continuing_subword_prefix="",
            end_of_word_suffix=END_OF_WORD,
            unk_token=special.names[UNKNOWN],
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(**token) for token in special.tokens])
    return tokenizer


def check_places(special: SpecialTokens, ids: Mapping[str, int]) -> None:
    """Refuse added tokens that have other ids than the folder states.

    Raises:
        ExportError: names the token and both ids.
    """
    for content, place in special.places.items():
        if ids.get(content) != place:
            raise ExportError(
                f"the added token {shown(content)} should have id {place} and has "
                f"{ids.get(content)}. Vocabulary and added tokens are of different models."
            )


def check_sides(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a tokenizer that pads or cuts on the left: a bundle's prompts begin at the start.

    Args:
        folder: directly below the model's folder.
        config: its tokenizer_config.json; what it says counts before tokenizer.json.

    Raises:
        ExportError: names the key.
    """
    root = folder.absolute().parent.resolve()
    path = Path(folder.name, WHOLE)
    whole = read_object(path, root, VOCABULARY_BYTES) if is_there(folder / WHOLE) else {}
    for key, part in SIDES.items():
        stated = whole.get(part)
        direction = stated.get("direction") if isinstance(stated, dict) else None
        side = config.get(key, direction or RIGHT)
        if str(side).lower() != RIGHT:
            raise ExportError(
                f"the tokenizer has {key} {shown(side)}; prompts are padded and cut on the right. "
                f"Correct {key} in {CONFIG} if the model was trained that way."
            )


def _length(config: Mapping[str, Any]) -> int:
    length = config.get("model_max_length")
    if type(length) is not int or not 3 <= length <= MOST_TOKENS:
        raise ExportError(
            f"{CONFIG} has model_max_length {shown(length)}; a text encoder takes 3 to "
            f"{MOST_TOKENS} tokens. Write the number that it was trained with, usually 77."
        )
    return length

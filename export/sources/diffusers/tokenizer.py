"""CLIP's tokenizer as the one JSON file that a bundle carries.

The text is put into NFC, white space becomes single spaces, letters become small; it is cut into
words, contractions, single digits and runs of other characters; the UTF-8 bytes of each become
letters, which merge, the last one marked by `</w>`. Special tokens are cut out first.

The steps are those of transformers' class and not of the folder, which only has the vocabulary.

Source: transformers 5.23, models/clip/tokenization_clip.py; Radford et al. 2021, arXiv 2103.00020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from denoisert.export.sources.diffusers.classes import shown
from denoisert.export.sources.diffusers.file import read_object
from denoisert.export.sources.diffusers.special import SpecialTokens, read_special
from denoisert.export.sources.diffusers.vocabulary import Vocabulary, read_vocabulary
from denoisert.runtime.errors import ExportError

CONFIG: Final = "tokenizer_config.json"
MOST_TOKENS: Final = 4096
END_OF_WORD: Final = "</w>"
WORDS: Final = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer and how a prompt becomes a text encoder's input.

    Args:
        json: in the format of the `tokenizers` library; encode without special tokens.
        length: tokens of an input.
        size: number of ids.
        start: ids before every prompt.
        end: ids after it.
        pad: id that fills the rest.
    """

    json: bytes
    length: int
    size: int
    start: tuple[int, ...]
    end: tuple[int, ...]
    pad: int


def read_tokenizer(folder: Path) -> Tokens:
    """Build the tokenizer of a folder; transformers is not needed for it.

    Args:
        folder: directly below the model's folder.

    Raises:
        ExportError: files are missing, broken or disagree, or ask for what CLIP's tokenizers lack.
    """
    config = read_object(Path(folder.name, CONFIG), folder.absolute().parent.resolve())
    vocabulary = read_vocabulary(folder)
    special = read_special(folder, config)
    if special.unknown not in vocabulary.ids:
        raise ExportError(
            f"the unknown token {shown(special.unknown)} is no piece of the vocabulary. Correct "
            f"unk_token in {CONFIG}."
        )
    tokenizer = _build(vocabulary, special)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    _check_places(special, ids)
    return Tokens(
        tokenizer.to_str().encode("utf-8"),
        length=_length(config),
        size=len(ids),
        start=(ids[special.start],),
        end=(ids[special.end],),
        pad=ids[special.pad],
    )


def _build(vocabulary: Vocabulary, special: SpecialTokens) -> Tokenizer:
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary.ids,
            merges=vocabulary.merges,
            continuing_subword_prefix="",
            end_of_word_suffix=END_OF_WORD,
            unk_token=special.unknown,
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


def _check_places(special: SpecialTokens, ids: Mapping[str, int]) -> None:
    for content, place in special.places.items():
        if ids.get(content) != place:
            raise ExportError(
                f"the added token {shown(content)} should have id {place} and has "
                f"{ids.get(content)}. Vocabulary and added tokens are of different models."
            )


def _length(config: Mapping[str, Any]) -> int:
    length = config.get("model_max_length")
    if type(length) is not int or not 3 <= length <= MOST_TOKENS:
        raise ExportError(
            f"{CONFIG} has model_max_length {shown(length)}; a text encoder takes 3 to "
            f"{MOST_TOKENS} tokens. Write the number that it was trained with, usually 77."
        )
    return length

"""Which tokenizers are read: class -> reader. A text encoder's tokenizer has its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from denoisert.export.sources.diffusers.component import Folder
from denoisert.export.sources.diffusers.tokenizer import read_tokenizer
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.export.sources.diffusers.unigram import read_unigram

TOKENIZER: Final = "tokenizer"
TEXT_ENCODER: Final = "text_encoder"

READERS: Final[Mapping[str, Callable[[Path], Tokens]]] = {
    "CLIPTokenizer": read_tokenizer,
    "CLIPTokenizerFast": read_tokenizer,
    "T5Tokenizer": read_unigram,
    "T5TokenizerFast": read_unigram,
}
"""Class -> reader of its folder; transformers is not needed for any."""


def read_tokenizers(folder: Folder) -> dict[str, Tokens]:
    """Every tokenizer of a folder.

    Returns:
        Name of the text encoder that it belongs to -> tokens: "text_encoder_2" for "tokenizer_2".

    Raises:
        ExportError: files are missing, broken or disagree.
    """
    return {
        name.replace(TOKENIZER, TEXT_ENCODER, 1): READERS[component.class_name](component.folder)
        for name, component in folder.components.items()
        if name.startswith(TOKENIZER)
    }

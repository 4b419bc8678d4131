"""Small tokenizers, trained here, of the classes and formats that model folders hold.

CLIP's is the BPE of `diffusers_folder/clip.py`, T5's the Unigram of `diffusers_folder/t5.py`.
"""

import tempfile
from functools import cache
from pathlib import Path

from transformers import CLIPTokenizer, T5Tokenizer

from tests.export.diffusers_folder import t5
from tests.export.diffusers_folder.clip import END, START, train, write_files

TOKENS = 16
"""Longest prompt of the CLIP encoders, as their 77."""

VOCABULARY = 600
PIECES = 150
OPEN_PAD = "!"
"""What OpenCLIP's encoders are padded with; OpenAI's are with the end."""


@cache
def trained_pairs():
    """(vocabulary, merges) of the CLIP encoding; start and end come last, as in CLIP's own."""
    vocabulary, merges = train(VOCABULARY)
    pieces = sorted(vocabulary, key=lambda piece: (piece in (START, END), vocabulary[piece]))
    return {piece: number for number, piece in enumerate(pieces)}, merges


def clip_tokenizer(pad=END):
    """A CLIPTokenizer of 16 tokens.

    Args:
        pad: what fills the rest of a prompt.
    """
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
    vocabulary, merges = trained_pairs()
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), vocabulary, merges, model_max_length=TOKENS, **special)
        return CLIPTokenizer.from_pretrained(folder)


@cache
def trained_pieces():
    """((piece, log probability), ...) of a Unigram; <pad>, </s>, <unk> come first."""
    return tuple(t5.train(PIECES))


def t5_tokenizer(tokens=512):
    """A T5 tokenizer with a hundred sentinels and a small normaliser's table.

    Args:
        tokens: what it says is the longest prompt.
    """
    sentinels = [(text, 0.0) for text in reversed(t5.SENTINELS)]
    return T5Tokenizer(
        vocab=[*trained_pieces(), *sentinels],
        _spm_precompiled_charsmap=t5.charsmap(),
        extra_ids=len(sentinels),
        model_max_length=tokens,
    )

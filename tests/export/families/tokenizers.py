"""Small tokenizers, trained here, of the classes and formats that model folders hold.

CLIP's is the BPE of `diffusers_folder/clip.py`; T5's is a Unigram over the same text, which the
older saves keep in SentencePiece's own format (`spiece.model`) and the newer ones in
`tokenizer.json`. The text has no normaliser's table, which only SentencePiece itself can compile.
"""

import json
import tempfile
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5Tokenizer

from tests.export.diffusers_folder.clip import CORPUS, END, START, train, write_files

TOKENS = 16
"""Longest prompt of the CLIP encoders, as their 77."""

PAD, EOS, UNKNOWN = "<pad>", "</s>", "<unk>"
SENTINELS = 4
VOCABULARY = 600
PIECES = 160
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
    """((piece, log probability), ...) of a Unigram; <pad>, </s>, <unk> come first, as in T5."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=PIECES,
        special_tokens=[PAD, EOS, UNKNOWN],
        unk_token=UNKNOWN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines() * 20, trainer)
    return tuple(
        (piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]
    )


def t5_tokenizer(tokens=512):
    """A T5 tokenizer with a few sentinels.

    Args:
        tokens: what it says is the longest prompt.
    """
    sentinels = [(f"<extra_id_{index}>", 0.0) for index in reversed(range(SENTINELS))]
    return T5Tokenizer(
        vocab=[*trained_pieces(), *sentinels], extra_ids=SENTINELS, model_max_length=tokens
    )

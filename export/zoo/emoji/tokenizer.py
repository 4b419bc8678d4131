"""The tokenizer: byte-pair merges learnt from the captions, over all single bytes.

The form is CLIP's (byte-level, lower case, a mark at the end of each word), so that every reader of
`vocab.json` and `merges.txt` knows it. All 256 bytes are tokens, with and without the end mark:
any string has tokens.

Source:
    Sennrich et al. 2016, arXiv 1508.07909, Algorithm 1 (merges);
    Radford et al. 2021, arXiv 2103.00020, section 2.4 (CLIP's text input).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
WORD_END: Final = "</w>"
"""Suffix of a token that ends a word."""

WORD: Final = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")
"""CLIP's split into words, for captions in lower-case ASCII."""

Merge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens and merges.

    Args:
        tokens: in the order of their ids; the last two are the start and the end mark.
        merges: in the order of their ranks.
    """

    tokens: tuple[str, ...]
    merges: tuple[Merge, ...]


def learn(captions: Iterable[str], merges: int) -> Vocabulary:
    """Learn the most frequent merges; of equally frequent pairs the first in text order wins.

    Args:
        captions: lower-case ASCII.
        merges: how many at most; it ends early when every word is one token.
    """
    counts = Counter(word for caption in captions for word in WORD.findall(caption))
    words = {(*word[:-1], word[-1] + WORD_END): n for word, n in counts.items()}
    learnt: list[Merge] = []
    while len(learnt) < merges:
        pairs: Counter[Merge] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = {merge_pair(word, best): count for word, count in words.items()}
        learnt.append(best)
    single = byte_letters()
    joined = dict.fromkeys("".join(merge) for merge in learnt)
    ended = [letter + WORD_END for letter in single]
    return Vocabulary((*single, *ended, *joined, START, END), tuple(learnt))


def encode(text: str, vocabulary: Vocabulary, length: int) -> list[int]:
    """Ids of a caption in lower-case ASCII, between the marks, padded with the end mark.

    Args:
        text: a caption; what does not fit is cut off.
        vocabulary: from `learn`.
        length: ids in the answer.
    """
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    tokens: list[str] = []
    for word in WORD.findall(text):
        pieces: tuple[str, ...] = (*word[:-1], word[-1] + WORD_END)
        for merge in vocabulary.merges:
            pieces = merge_pair(pieces, merge)
        tokens.extend(pieces)
    padding = [END] * (length - 1 - len(tokens[: length - 2]))
    return [ids[token] for token in (START, *tokens[: length - 2], *padding)]


def merge_pair(word: Sequence[str], pair: Merge) -> tuple[str, ...]:
    """The word with every occurrence of the pair joined, from the left."""
    joined: list[str] = []
    for token in word:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return tuple(joined)


def byte_letters() -> tuple[str, ...]:
    """The letter that stands for each byte in GPT-2's and CLIP's files.

    Printable ones stand for themselves; the others follow, from U+0100 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = len(set(range(256)) - set(printable))
    return tuple(map(chr, printable)) + tuple(chr(256 + n) for n in range(others))


def write(vocabulary: Vocabulary, folder: Path, length: int) -> None:
    """Write the four files that diffusers' pipelines read.

    Args:
        vocabulary: from `learn`.
        folder: created if missing.
        length: tokens of a padded caption.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    marks = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {
        **marks,
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": length,
        "tokenizer_class": "CLIPTokenizer",
    }
    lines = ["#version: 0.2", *(" ".join(merge) for merge in vocabulary.merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, value in (
        ("vocab.json", ids),
        ("special_tokens_map.json", marks),
        ("tokenizer_config.json", config),
    ):
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
        (folder / name).write_text(text, encoding="utf-8")

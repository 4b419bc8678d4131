"""A small T5 tokenizer, trained here, in every layout in which folders have one."""

import base64
import math
import random
from collections import Counter

import numpy as np
from transformers.convert_slow_tokenizer import import_protobuf

from tests.export.diffusers_folder.clip import CORPUS, PARTS, dump

LONGEST = 6
SPECIAL_MAP = "special_tokens_map.json"
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SENTINELS = [f"<extra_id_{n}>" for n in range(100)]
FOLDED = {
    "ﬁ": "fi",
    "\uff21": "A",
    "①": "1",
    "\u3000": " ",
    "\x85": " ",
    "\xa0": " ",
    "é": "é",
    "½": "",
}
LOOKS = (
    *(PAD, END, UNKNOWN, "<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "<extra_id_", "</S>"),
    *("\u2581", "a\u2581b", "\u2581\u2581", "<s>", "< pad>", "red</s>apple", *FOLDED),
)


def train(size=400):
    """Pieces with scores: padding, end and unknown first, as T5's have them.

    Scores are those of substrings of the corpus, none of them longer than six letters. The same in
    every process, which the trainer of `tokenizers` is not: it adds up in any order.
    """
    counts = Counter(
        piece for word in CORPUS.split() for piece in substrings(f"\u2581{word}", LONGEST)
    )
    ranked = sorted(counts, key=lambda piece: (len(piece) > 1, -counts[piece] * len(piece), piece))
    total = counts.total()
    scored = [(piece, math.log(counts[piece] / total)) for piece in ranked[: size - 3]]
    special = [(text, 0.0) for text in (PAD, END, UNKNOWN)]
    return special + sorted(scored, key=lambda entry: (-entry[1], entry[0]))


def substrings(word, longest):
    """Every part of a word, up to so many letters."""
    ends = range(1, longest + 1)
    return [word[at : at + end] for at in range(len(word)) for end in ends if at + end <= len(word)]


def charsmap(folded=FOLDED):
    """sentencepiece's compiled normaliser: a double array of UTF-8 prefixes, then texts.

    A unit has a label (8 bits), whether a text ends here (bit 8) and the distance of its children
    (from bit 10); a leaf has bit 31 and the place of its replacement.
    """
    texts, places, trie = b"", {}, {}
    for text, replacement in folded.items():
        places[text] = len(texts)
        texts += replacement.encode() + b"\0"
        node = trie
        for byte in text.encode():
            node = node.setdefault(byte, {})
        node[0] = places[text]
    units = np.zeros(2**16, np.uint32)
    taken = {0}
    _place(trie, 0, units, taken)
    units = units[: -(-(max(taken) + 1) // 256) * 256]
    return len(units.tobytes()).to_bytes(4, "little") + units.tobytes() + texts


def _place(node, position, units, taken):
    base = next(b for b in range(1, 2**15) if not any((b ^ label) in taken for label in node))
    taken |= {base ^ label for label in node}
    units[position] |= ((position ^ base) << 10) | ((0 in node) << 8)
    for label, child in node.items():
        if label == 0:
            units[base] = child | 2**31
        else:
            units[base ^ label] |= label
            _place(child, base ^ label, units, taken)


def write_whole(folder, pieces, folded=FOLDED, **config):
    """tokenizer.json and tokenizer_config.json, sentinels behind the pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    scored = [*pieces, *((text, 0.0) for text in reversed(SENTINELS))]
    normalizer = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": encoded(charsmap(folded))},
            {"type": "Strip", "strip_left": False, "strip_right": True},
        ],
    }
    model = {"type": "Unigram", "unk_id": 2, "vocab": scored, "byte_fallback": False}
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
    steps = {"pre_tokenizer": None, "post_processor": None, "decoder": None}
    dump(folder / "tokenizer.json", whole | {"normalizer": normalizer} | steps | {"model": model})
    dump(folder / "tokenizer_config.json", config)
    return folder


def write_spiece(folder, pieces, folded=FOLDED, kinds=None, **config):
    """spiece.model and tokenizer_config.json; the class adds the sentinels itself."""
    folder.mkdir(parents=True, exist_ok=True)
    model = import_protobuf().ModelProto()
    given = {PAD: 3, END: 3, UNKNOWN: 2} | (kinds or {})
    for text, score in pieces:
        model.pieces.add(piece=text, score=score, type=given.get(text, 1))
    model.trainer_spec.unk_id = 2
    model.trainer_spec.pad_id, model.trainer_spec.eos_id = 0, 1
    model.trainer_spec.model_type = 1
    model.normalizer_spec.name = "ours"
    model.normalizer_spec.precompiled_charsmap = charsmap(folded) if folded else b""
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    dump(folder / "tokenizer_config.json", config)
    return folder


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False} | {
        "single_word": False,
        "special": True,
        **flags,
    }


def encoded(content):
    return base64.b64encode(content).decode()


def strings(seed, count):
    """Random mixtures of everything that has broken a tokenizer before, and of T5's own texts."""
    rng = random.Random(seed)
    parts = (*PARTS, *LOOKS)
    found = ["", " ", "\0", "a" * 300, "red apple " * 200, *LOOKS, *PARTS]
    while len(found) < count:
        found.append(rng.choice(["", " ", "  "]).join(rng.choices(parts, k=rng.randint(1, 12))))
    return found[:count]


WRITERS = {"one file": write_whole, "sentencepiece": write_spiece}
"""Layouts of a folder."""

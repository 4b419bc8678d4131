"""A small CLIP vocabulary, trained here, and CLIP's algorithm written once more, slowly.

The slow one follows OpenAI's simple_tokenizer (Radford et al. 2021) where transformers 5 does:
broken encodings are not repaired, and words are cut once more by GPT-2's pattern, which matters for
special tokens in capitals alone. White space, letters of bytes and merging are its own.
"""

import itertools
import json
import random
import unicodedata
from collections import Counter

import regex

START, END = "<|startoftext|>", "<|endoftext|>"
CORPUS = """a red apple and two green apples on the table, it's the cat's; they're smiling
a smiling face with hearts we've seen, don't you'll i'm he'd 1234567890 ... !!! ??? (hot beverage)
the quick brown fox jumps over the lazy dog again and again naïve café señor über straße
красное яблоко и кот кот кот 猫猫 りんご りんご שלום שלום قطة قطة 😀😀 👍🏽 ❤️ ❤️
"""
WORD = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
)
GPT2 = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(code) for code in range(0x2000, 0x200B)
)
PARTS = (
    *("red", "apple", "Apples", "it's", "THEY'RE", "don't", "we'll", "Ünï", "café", "cafe\u0301"),
    *("1", "42", "3.14", "!!", "?!?", "(", "...", "'", "''s", "'S", "_", "-", "#tag", "@"),
    *(
        "😀",
        "👍🏽",
        "👩‍👩‍👧‍👦",
        "🇫🇷",
        "❤️",
        "a\u0300\u0301\u0302",
        "\u0327",
        "Å",
        "ﬁ",
        "İ",
        "ΣΑΣ",
        "ß",
        "ẞ",
    ),
    *(
        "猫",
        "りんご",
        "한국어",
        "\u1112\u1161\u11ab",
        "שלום",
        "مرحبا",
        "हिन्दी",
        "ไทย",
        "Ж",
        "ⅷ",
        "²",
        "½",
    ),
    *("\0", "\x01", "\x1b", "\x7f", "\u200b", "\u200d", "\ufeff", "\U000e0041", "\U0010ffff"),
    *(START, END, "<|ENDOFTEXT|>", "<|endoftext", "|>", "<|", "<|endoftext|><|endoftext|>"),
    *(" ", "  ", "\t", "\n", "\r\n", "\u3000", "\xa0", "\x85", "\u2028", " \n "),
)


def letters():
    """Byte -> the letter that stands for it."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + number) for number, byte in enumerate(others)
    }


def train(size=900):
    """(vocabulary, merges) of a tiny encoding in which some letters never end a word.

    The same in every process, which the trainer of `tokenizers` is not: of pairs that are as
    frequent it takes any.
    """
    words = Counter(map(spelled, WORD.findall(unicodedata.normalize("NFC", CORPUS).lower())))
    last = sorted({word[-1] for word in words})
    vocabulary = dict.fromkeys([START, END, *letters().values(), *last])
    merges = []
    while len(vocabulary) < size:
        counts = Counter()
        for word, count in words.items():
            counts.update(dict.fromkeys(itertools.pairwise(word), count))
        if not counts:
            break
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        words = {tuple(joined(word, merges[-1])): count for word, count in words.items()}
        vocabulary["".join(merges[-1])] = None
    return {piece: number for number, piece in enumerate(vocabulary)}, merges


def spelled(word):
    """A word as letters of its bytes, of which the last says that it ends."""
    symbols = [letters()[byte] for byte in word.encode("utf-8")]
    return (*symbols[:-1], f"{symbols[-1]}</w>")


def write_files(folder, vocabulary, merges, **config):
    """vocab.json, merges.txt and tokenizer_config.json of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    dump(folder / "vocab.json", vocabulary)
    text = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges), ""])
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    dump(folder / "tokenizer_config.json", {"model_max_length": 77} | config)
    return folder


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def strings(seed, count):
    """Random mixtures of everything that has broken a tokenizer before."""
    rng = random.Random(seed)
    found = ["", " ", "\0", "a" * 300, START, END, *PARTS]
    while len(found) < count:
        pieces = rng.choices(PARTS, k=rng.randint(1, 12))
        found.append(rng.choice(["", " "]).join(pieces))
    return found[:count]


class SlowTokenizer:
    """CLIP's algorithm in its plainest form: letters of bytes, and the best pair first.

    Args:
        vocabulary: piece -> id.
        merges: pairs, best first.
        special: text -> id of what is cut out of a text as it is.
    """

    def __init__(self, vocabulary, merges, special=None):
        self.vocabulary = vocabulary
        self.rank = {pair: rank for rank, pair in enumerate(merges)}
        self.special = special or {START: vocabulary[START], END: vocabulary[END]}
        self.letters = letters()

    def encode(self, text):
        cuts = "|".join(map(regex.escape, sorted(self.special, key=len, reverse=True)))
        ids = []
        for piece in regex.split(f"({cuts})", text):
            ids += [self.special[piece]] if piece in self.special else self._plain(piece)
        return ids

    def _plain(self, text):
        text = unicodedata.normalize("NFC", text)
        text = regex.sub(f"[{SPACES}]+", " ", text)
        text = "".join(letter.lower() for letter in text)
        words = [piece for word in WORD.findall(text) for piece in GPT2.findall(word)]
        return [number for word in words for number in self._word(word)]

    def _word(self, word):
        symbols = [self.letters[byte] for byte in word.encode("utf-8")]
        symbols[-1] += "</w>"
        unknown = self.vocabulary[END]
        known = [symbol if symbol in self.vocabulary else None for symbol in symbols]
        while True:
            pairs = [pair for pair in itertools.pairwise(known) if pair in self.rank]
            if not pairs:
                return [unknown if s is None else self.vocabulary[s] for s in known]
            known = joined(known, min(pairs, key=self.rank.__getitem__))


def joined(symbols, pair):
    """The symbols with every occurrence of a pair made one, from the left."""
    out, at = [], 0
    while at < len(symbols):
        is_pair = tuple(symbols[at : at + 2]) == pair
        out.append("".join(pair) if is_pair else symbols[at])
        at += 2 if is_pair else 1
    return out

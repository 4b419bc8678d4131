"""A tokenizer's files as transformers 4 has written them."""

import json

from denoisert.export.sources.diffusers.spiece import read_spiece
from tests.export.diffusers_folder import clip, t5

SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
PLAIN = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
WHOLE = "tokenizer.json"
CONFIG = "tokenizer_config.json"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def is_clip(place):
    return read(place / CONFIG)["tokenizer_class"] == "CLIPTokenizer"


def clip_earlier(place):
    """What the slow CLIPTokenizer of transformers 4 writes."""
    config, vocabulary = split(place)
    special = {key: {"content": config[key]} | PLAIN for key in SPECIAL}
    added = {str(vocabulary[one["content"]]): one | {"special": True} for one in special.values()}
    clip.dump(place / "special_tokens_map.json", special | {"pad_token": config["pad_token"]})
    saved = {
        "add_prefix_space": False,
        "added_tokens_decoder": dict(sorted(added.items(), key=lambda pair: int(pair[0]))),
        "clean_up_tokenization_spaces": False,
        "do_lower_case": True,
        "errors": "replace",
        "extra_special_tokens": {},
        **{key: config[key] for key in (*SPECIAL, "model_max_length", "tokenizer_class")},
    }
    clip.dump(place / CONFIG, saved)


def clip_first(place):
    """What the CLIPTokenizer of transformers 4.22 writes: special tokens described in place."""
    config, _ = split(place)
    described = {
        key: {"__type": "AddedToken", "content": config[key]} | PLAIN | {"normalized": True}
        for key in ("bos_token", "eos_token", "unk_token")
    }
    saved = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "pad_token": config["pad_token"],
        "model_max_length": config["model_max_length"],
        "name_or_path": "openai/clip-vit-large-patch14",
        "special_tokens_map_file": "./special_tokens_map.json",
        "tokenizer_class": "CLIPTokenizer",
    }
    clip.dump(place / CONFIG, described | saved)
    special = {
        key: {name: value for name, value in one.items() if name != "__type"}
        for key, one in described.items()
    }
    clip.dump(place / "special_tokens_map.json", special | {"pad_token": config["pad_token"]})


def split(place):
    """`vocab.json` and `merges.txt` in place of `tokenizer.json`; its configuration, vocabulary."""
    config, whole = read(place / CONFIG), read(place / WHOLE)
    vocabulary, merges = whole["model"]["vocab"], map(tuple, whole["model"]["merges"])
    clip.write_files(place, vocabulary, merges)
    (place / WHOLE).unlink()
    return config, vocabulary


def t5_earlier(place):
    """What the fast T5 tokenizer of transformers 4 writes: both files, what is added twice."""
    config = read(place / CONFIG)
    pieces = pieces_of(place)
    ids = {text: number for number, (text, _) in enumerate(pieces)}
    ids |= {text: len(pieces) + n for n, text in sentinels()}
    special = (t5.PAD, t5.END, t5.UNKNOWN, *t5.SENTINELS)
    added = {str(ids[text]): {"content": text} | PLAIN | {"special": True} for text in special}
    named = {"eos_token": t5.END, "pad_token": t5.PAD, "unk_token": t5.UNKNOWN}
    saved = {
        "add_prefix_space": None,
        "added_tokens_decoder": dict(sorted(added.items(), key=lambda pair: int(pair[0]))),
        "additional_special_tokens": t5.SENTINELS,
        "clean_up_tokenization_spaces": True,
        "extra_ids": len(t5.SENTINELS),
        "legacy": True,
        "model_max_length": config["model_max_length"],
        "sp_model_kwargs": {},
        "tokenizer_class": "T5Tokenizer",
    }
    t5.write_spiece(place, pieces, **named | saved)
    described = {key: {"content": text} | PLAIN for key, text in named.items()}
    described |= {"additional_special_tokens": t5.SENTINELS}
    clip.dump(place / "special_tokens_map.json", described)


def sentinels():
    """(place behind the pieces, text): the last has the first place."""
    return enumerate(reversed(t5.SENTINELS))


def pieces_of(place):
    """(piece, score) of a T5 tokenizer without its sentinels."""
    path = place / WHOLE
    scored = read(path)["model"]["vocab"] if path.exists() else read_spiece(place).scored
    return [(text, score) for text, score in scored if text not in t5.SENTINELS]

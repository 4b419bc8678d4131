"""One folder as different versions have saved it: a layout is a function that rewrites files.

What is known of earlier versions, from their releases and from the folders that people have:

- diffusers 0.36 beside transformers 4.57 names T5's tokenizers with "Fast" and writes `vocab.json`,
  `merges.txt` and `special_tokens_map.json` (CLIP) or `spiece.model` beside `tokenizer.json` (T5).
- transformers before 4.56 calls the type of the weights `torch_dtype`.
- transformers 4 writes the weights of a CLIPTextModel below `text_model.`, and 5 does not.
- Before transformers 4.31 CLIP's position numbers were saved with its weights; before diffusers
  0.12 an autoencoder's attention had names of its own; tokenizers did not list what they add.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.export.diffusers_folder import clip, t5
from tests.export.families.folders import make

EARLIER = {"_diffusers_version": "0.36.0", "transformers_version": "4.55.4"}
FIRST = {"_diffusers_version": "0.6.0", "transformers_version": "4.22.0"}
ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
PLAIN = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
SHARD = "100KB"


def earlier(folder):
    """diffusers 0.36 beside transformers 4.55: what most folders are.

    Args:
        folder: as the installed versions have written it; changed in place.

    Returns:
        The folder.
    """
    rewrite(folder, "model_index.json", named_fast)
    dated(folder, EARLIER)
    resave_encoders(folder, prefixed)
    for place in tokenizers(folder):
        write = clip_earlier if is_clip(place) else t5_earlier
        write(place)
    return Path(folder)


def first(folder):
    """The folders of Stable Diffusion 1: diffusers 0.6 beside transformers 4.22.

    Args:
        folder: of "sd1", as the installed versions have written it; changed in place.

    Returns:
        The folder.
    """
    folder = Path(folder)
    dated(folder, FIRST)
    for place in tokenizers(folder):
        clip_first(place)
    resave(folder / "vae" / "diffusion_pytorch_model.safetensors", attention_named_first)
    resave_encoders(folder, prefixed)
    resave_encoders(folder, positions_saved)
    return folder


def slow(folder):
    """`earlier`, where T5's tokenizer was saved by the class that reads `spiece.model` alone.

    Args:
        folder: changed in place. transformers 5 reads it only where sentencepiece is installed.

    Returns:
        The folder.
    """
    earlier(folder)
    rewrite(folder, "model_index.json", named_slow)
    for place in tokenizers(folder):
        if not is_clip(place):
            (place / "tokenizer.json").unlink()
            sentinels = {text: len(pieces_of(place)) + n for n, text in _sentinels()}
            clip.dump(place / "added_tokens.json", sentinels)
    return Path(folder)


def half(name, folder):
    """A family's folder that has nothing but weights in float16, under their own names."""
    make(name).to(torch.float16).save_pretrained(folder, variant="fp16")
    return Path(folder)


def sharded(name, folder, **saved):
    """A family's folder whose weights lie in several files with an index.

    Args:
        name: a key of FAMILIES.
        folder: where; it is made.
        saved: arguments of `save_pretrained`, such as `variant="fp16"`.
    """
    make(name).save_pretrained(folder, max_shard_size=SHARD, **saved)
    return Path(folder)


def dated(folder, versions):
    """Write versions into every configuration, and the type of the weights under its first name."""
    for path in sorted(Path(folder).rglob("*.json")):
        if path.name in ("model_index.json", "config.json", "scheduler_config.json"):
            rewrite(path.parent, path.name, lambda config: _dated(config, versions))


def _dated(config, versions):
    found = {("torch_dtype" if key == "dtype" else key): value for key, value in config.items()}
    return found | {key: value for key, value in versions.items() if key in found}


def named_fast(index):
    return _renamed(index, "T5TokenizerFast")


def named_slow(index):
    return _renamed(index, "T5Tokenizer")


def _renamed(index, name):
    """`model_index.json` with another name of T5's tokenizer."""
    t5_names = (["transformers", "T5Tokenizer"], ["transformers", "T5TokenizerFast"])
    return {
        key: ["transformers", name] if value in t5_names else value for key, value in index.items()
    }


def tokenizers(folder):
    """Folders of the tokenizers."""
    return sorted(path.parent for path in Path(folder).glob("*/tokenizer_config.json"))


def is_clip(place):
    return read(place / "tokenizer_config.json")["tokenizer_class"] == "CLIPTokenizer"


def clip_earlier(place):
    """What the slow CLIPTokenizer of transformers 4 writes."""
    config, vocabulary = _split(place)
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
    clip.dump(place / "tokenizer_config.json", saved)


def clip_first(place):
    """What the CLIPTokenizer of transformers 4.22 writes: special tokens described in place."""
    config, _ = _split(place)
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
    clip.dump(place / "tokenizer_config.json", described | saved)
    special = {
        key: {name: value for name, value in one.items() if name != "__type"}
        for key, one in described.items()
    }
    clip.dump(place / "special_tokens_map.json", special | {"pad_token": config["pad_token"]})


def _split(place):
    """`vocab.json` and `merges.txt` in place of `tokenizer.json`; its configuration, vocabulary."""
    config, whole = (read(place / f"{name}.json") for name in ("tokenizer_config", "tokenizer"))
    vocabulary, merges = whole["model"]["vocab"], map(tuple, whole["model"]["merges"])
    clip.write_files(place, vocabulary, merges)
    (place / "tokenizer.json").unlink()
    return config, vocabulary


def t5_earlier(place):
    """What the fast T5 tokenizer of transformers 4 writes: both files, what is added twice."""
    config = read(place / "tokenizer_config.json")
    pieces = pieces_of(place)
    ids = {text: number for number, (text, _) in enumerate(pieces)}
    ids |= {text: len(pieces) + n for n, text in _sentinels()}
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


def _sentinels():
    """(place behind the pieces, text): the last has the first place."""
    return enumerate(reversed(t5.SENTINELS))


def pieces_of(place):
    """(piece, score) of a T5 tokenizer without its sentinels."""
    path = place / "tokenizer.json"
    if not path.exists():
        from denoisert.export.sources.diffusers.spiece import read_spiece

        return list(read_spiece(place).scored)
    scored = read(path)["model"]["vocab"]
    return [(text, score) for text, score in scored if text not in t5.SENTINELS]


def attention_named_first(weights):
    """The autoencoder's attention under its first names."""
    found = {}
    for key, value in weights.items():
        for now, before in ATTENTION.items():
            if f".attentions.0.{now}." in key:
                key = key.replace(now, before)
        found[key] = value
    return found


def prefixed(weights):
    """A CLIPTextModel's weights as transformers 4 names them; others as they are."""
    if "embeddings.token_embedding.weight" not in weights:
        return weights
    return {f"text_model.{key}": value for key, value in weights.items()}


def positions_saved(weights):
    """CLIP's weights with the numbers of its positions."""
    count = weights["text_model.embeddings.position_embedding.weight"].shape[0]
    return weights | {"text_model.embeddings.position_ids": torch.arange(count)[None]}


def resave_encoders(folder, change):
    for path in sorted(Path(folder).glob("text_encoder*/model.safetensors")):
        resave(path, change)


def resave(path, change):
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def rewrite(folder, name, change):
    path = Path(folder) / name
    clip.dump(path, change(read(path)))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))

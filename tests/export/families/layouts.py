"""One folder as different versions have saved it: a layout is a function that rewrites files.

- diffusers 0.36 beside transformers 4.55 names T5's tokenizers with "Fast" and writes `vocab.json`,
  `merges.txt` and `special_tokens_map.json` (CLIP) or `spiece.model` beside `tokenizer.json` (T5).
- It calls the type of the weights `torch_dtype`, as all did before transformers 4.56.
- transformers 4 writes the weights of a CLIPTextModel below `text_model.`, and 5 does not.
- The first folders have the numbers of CLIP's positions among its weights, names of their own for
  an autoencoder's attention, and configurations without all the keys that came later.
"""

import inspect
import json
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file, save_file

from tests.export.diffusers_folder import clip
from tests.export.families.folders import make
from tests.export.families.older_tokenizers import (
    WHOLE,
    clip_earlier,
    clip_first,
    is_clip,
    pieces_of,
    read,
    sentinels,
    t5_earlier,
)

EARLIER = {"_diffusers_version": "0.36.0", "transformers_version": "4.55.4"}
FIRST = {"_diffusers_version": "0.6.0", "transformers_version": "4.22.0"}
ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
TRANSFORMER_FIRST = {
    "_class_name": "Transformer2DModel",
    "_diffusers_version": "0.22.0.dev0",
    "double_self_attention": False,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "use_linear_projection": False,
}
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
    lean(folder)
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
            (place / WHOLE).unlink()
            count = len(pieces_of(place))
            added = {text: count + number for number, text in sentinels()}
            clip.dump(place / "added_tokens.json", added)
    return Path(folder)


def pixart_first(folder):
    """The folders of PixArt-alpha: diffusers 0.22, one class for all transformers.

    Args:
        folder: of "pixart_alpha", as the installed versions have written it; changed in place.

    Returns:
        The folder.
    """
    folder = Path(folder)
    slow(folder)
    rewrite(folder, "model_index.json", transformer_named_first)
    rewrite(folder / "transformer", "config.json", transformer_configured_first)
    resave(folder / "transformer" / "diffusion_pytorch_model.safetensors", caption_saved)
    return folder


def lean(folder):
    """Configurations that leave out whatever diffusers takes by default, as those before a key was
    introduced do.

    Args:
        folder: changed in place.

    Returns:
        The folder.
    """
    for path in sorted(Path(folder).rglob("*config.json")):
        if "_class_name" in read(path):
            rewrite(path.parent, path.name, without_defaults)
    return Path(folder)


def without_defaults(config):
    """A configuration of a class of diffusers without the values that the class has anyway."""
    given = inspect.signature(getattr(diffusers, config["_class_name"]).__init__).parameters
    default = {key: json.loads(json.dumps(one.default, default=str)) for key, one in given.items()}
    return {
        key: value for key, value in config.items() if key not in default or default[key] != value
    }


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


def transformer_named_first(index):
    return index | {"transformer": ["diffusers", TRANSFORMER_FIRST["_class_name"]]}


def transformer_configured_first(config):
    """With settings that the class of today has not, and without those that it was given later."""
    later = ("interpolation_scale", "use_additional_conditions")
    kept = {key: value for key, value in config.items() if key not in later}
    return kept | TRANSFORMER_FIRST


def caption_saved(weights):
    """A transformer's weights with the caption that stood for none in training."""
    width = weights["caption_projection.linear_1.weight"].shape[1]
    return weights | {"caption_projection.y_embedding": torch.ones(120, width)}


def resave_encoders(folder, change):
    for path in sorted(Path(folder).glob("text_encoder*/model.safetensors")):
        resave(path, change)


def resave(path, change):
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def rewrite(folder, name, change):
    path = Path(folder) / name
    clip.dump(path, change(read(path)))

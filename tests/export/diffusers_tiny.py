"""Writes a tiny Stable-Diffusion-shaped folder with random weights, as diffusers itself saves it.

32x32 pictures, latents of 4x8x8, 16 tokens; about 0.7 M parameters in all. Parameters that start
at zero or one are redrawn, so that no input and no layer is dead.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiTTransformer2DModel,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

TOKENS = 16
WIDTH = 32
SCALING = 0.6
WORDS = ("red", "apple", "green", "car", "blue", "smiling", "face", "cat", "of", "two")
START, END = "<|startoftext|>", "<|endoftext|>"

UNET = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 4,
    "cross_attention_dim": WIDTH,
}
VAE = {
    "sample_size": 32,
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "latent_channels": 4,
    "scaling_factor": SCALING,
}
DIT = {
    "sample_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 8,
    "num_embeds_ada_norm": 3,
}
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def write_folder(
    folder: Path, *, vae: dict[str, Any] | None = None, unet: dict[str, Any] | None = None
) -> Path:
    """Write all components; keyword arguments replace fields of their configurations."""
    torch.manual_seed(7)
    write_tokenizer(folder / "tokenizer")
    vocabulary = json.loads((folder / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        redrawn(text_encoder(vocabulary)).save_pretrained(folder / "text_encoder")
        redrawn(UNet2DConditionModel(**UNET | (unet or {}))).save_pretrained(folder / "unet")
        redrawn(AutoencoderKL(**VAE | (vae or {}))).save_pretrained(folder / "vae")
        DDIMScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
    write_index(folder)
    return folder


def write_class_folder(folder: Path) -> Path:
    """Write a class-conditioned diffusion transformer with an autoencoder, no text."""
    torch.manual_seed(8)
    redrawn(DiTTransformer2DModel(**DIT)).save_pretrained(folder / "transformer")
    redrawn(AutoencoderKL(**VAE)).save_pretrained(folder / "vae")
    DDIMScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DiTPipeline",
        "id2label": {"0": "cat", "1": "dog", "2": "owl"},
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    dump(folder / "model_index.json", index)
    return folder


def write_index(folder: Path, **components: object) -> None:
    """Write `model_index.json`; keyword arguments replace its entries."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    text = json.dumps(index | components, indent=2)
    (folder / "model_index.json").write_text(text, encoding="utf-8")


def text_encoder(vocabulary: dict[str, int]) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        projection_dim=WIDTH,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    return CLIPTextModel(config)


def redrawn(module: nn.Module) -> nn.Module:
    """The module with noise on every constant parameter."""
    with torch.no_grad():
        for value in module.parameters():
            if bool((value == value.flatten()[0]).all()):
                value += 0.2 * torch.randn_like(value)
    return module.eval()


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer: all bytes, with and without the end of a word, and a few whole words."""
    folder.mkdir(parents=True)
    letters = byte_letters()
    merges = [pair for word in WORDS for pair in merges_of(word)]
    merges = list(dict.fromkeys(merges))
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(p) for p in merges)]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, START, END])}
    dump(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    dump(folder / "special_tokens_map.json", special)
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "do_lower_case": True}
    dump(folder / "tokenizer_config.json", special | config)


def merges_of(word: str) -> list[tuple[str, str]]:
    """Merges that join a word from the left, its last letter with the mark of the end."""
    letters = [*word[:-1], f"{word[-1]}</w>"]
    pairs, joined = [], letters[0]
    for letter in letters[1:]:
        pairs.append((joined, letter))
        joined += letter
    return pairs


def byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes, in the order of CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

"""Tiny text encoders with random weights, and prompts for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedModel, T5Config, T5EncoderModel

from tests.export.diffusers_tiny import redrawn

LAYERS, TOKENS, WORDS, WIDTH, PROJECTED = 3, 20, 60, 32, 24
CLIP = {"vocab_size": WORDS, "hidden_size": WIDTH, "intermediate_size": 64, "bos_token_id": 58} | {
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": TOKENS,
    "projection_dim": PROJECTED,
}
T5 = {"vocab_size": WORDS, "d_model": WIDTH, "d_kv": 6, "d_ff": 48, "num_layers": LAYERS} | {
    "num_heads": 4,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 15,
}
END, OLD_END = 59, 2


def clip(kind: type[PreTrainedModel] = CLIPTextModel, **config: object) -> PreTrainedModel:
    torch.manual_seed(5)
    return redrawn(kind(CLIPTextConfig(**CLIP | {"eos_token_id": END} | config)))


def t5(**config: object) -> PreTrainedModel:
    torch.manual_seed(6)
    return redrawn(T5EncoderModel(T5Config(**T5 | config)))


def prompts(seed: int, lanes: int = 5) -> Tensor:
    """Ids with ends in the middle, twice, nowhere and first."""
    ids = torch.from_numpy(np.random.default_rng(seed).integers(3, END, (lanes, TOKENS)))
    for lane, places in enumerate([(4,), (3, 9), (), (0,), (TOKENS - 1,)][:lanes]):
        ids[lane, list(places)] = END
    return ids


def masks(seed: int, lanes: int = 5) -> Tensor:
    filled = np.random.default_rng(seed).permutation(np.linspace(1, TOKENS, lanes).astype(int))
    return torch.from_numpy((np.arange(TOKENS) < filled[:, None]).astype(np.int64))


def relative(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max() / wanted.abs().max())

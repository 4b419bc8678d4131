"""Stable Diffusion 3 and 3.5: joint attention over two CLIP encoders and T5, which may lack."""

import diffusers
import torch

from tests.export.diffusers_folder.clip import END
from tests.export.families.parts import (
    PROJECTION,
    SHIFTED,
    T5_WIDTH,
    WIDTH,
    alive,
    autoencoder,
    clip_projected,
    open_clip_projected,
    t5,
)
from tests.export.families.tokenizers import OPEN_PAD, clip_tokenizer, t5_tokenizer

SHIFT = 3.0
TRANSFORMER = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": T5_WIDTH,
    "caption_projection_dim": 32,
    "pooled_projection_dim": WIDTH + PROJECTION,
    "pos_embed_max_size": 8,
}
LATER = {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}
CALM = {"proj_out.weight": 0.15, "proj_out.bias": 0.15}
"""Factors of the velocity: without them guidance drives a latent to 20 and more, where rounding
grows by a thousand in eight steps."""

SHARP = CALM | {"to_q.weight": 3.0, "add_q_proj.weight": 3.0}
SHARP_LATER = CALM | {"norm_q.weight": 6.0, "norm_added_q.weight": 6.0}
"""Factors of queries: without them each of 300 tokens counts as much as any other, and CLIP's 16 as
good as nothing."""


def medium():
    """SD3 medium with all three text encoders."""
    return _scaled(_pipeline(t5(), t5_tokenizer(), **TRANSFORMER), SHARP)


def later():
    """SD3.5 medium: normalised queries and keys, a second attention in the first block."""
    return _scaled(_pipeline(t5(), t5_tokenizer(), **TRANSFORMER | LATER), SHARP_LATER)


def without_t5():
    """SD3 medium whose third encoder was left out to save memory."""
    return _scaled(_pipeline(None, None, **TRANSFORMER), CALM)


def _pipeline(text_encoder_3, tokenizer_3, **transformer):
    return diffusers.StableDiffusion3Pipeline(
        transformer=alive(diffusers.SD3Transformer2DModel(**transformer)),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=autoencoder(**SHIFTED),
        text_encoder=clip_projected(),
        tokenizer=clip_tokenizer(END),
        text_encoder_2=open_clip_projected(),
        tokenizer_2=clip_tokenizer(OPEN_PAD),
        text_encoder_3=text_encoder_3,
        tokenizer_3=tokenizer_3,
    )


def _scaled(pipeline, factors):
    """The pipeline with some parameters of its transformer larger or smaller."""
    with torch.no_grad():
        for name, value in pipeline.transformer.named_parameters():
            value *= next((factors[end] for end in factors if f".{name}".endswith(f".{end}")), 1.0)
    return pipeline

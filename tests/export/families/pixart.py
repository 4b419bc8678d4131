"""PixArt-alpha, which is told its size and aspect, and Sigma, which is not: T5 with its mask."""

import diffusers

from tests.export.families.parts import T5_WIDTH, alive, autoencoder, t5
from tests.export.families.tokenizers import t5_tokenizer

SIDE = 128
"""The pipeline passes size and aspect to networks of this side alone."""

TRANSFORMER = {
    "sample_size": SIDE,
    "num_layers": 1,
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "cross_attention_dim": 48,
    "caption_channels": T5_WIDTH,
    "in_channels": 4,
    "out_channels": 8,
    "patch_size": 2,
}


def alpha():
    """PixArt-XL-2-1024-MS: micro-conditions, at most 120 tokens."""
    made = _pipeline(diffusers.PixArtAlphaPipeline, 120, use_additional_conditions=True)
    # The one number among 256 sines and cosines would count for less than the others.
    made.transformer.adaln_single.emb.aspect_ratio_embedder.linear_2.weight.data *= 3
    return made


def sigma():
    """PixArt-Sigma-XL-2-1024-MS: no micro-conditions, at most 300 tokens."""
    return _pipeline(diffusers.PixArtSigmaPipeline, 300, use_additional_conditions=False)


def _pipeline(kind, tokens, **transformer):
    return kind(
        tokenizer=t5_tokenizer(tokens),
        text_encoder=t5(),
        vae=autoencoder(),
        transformer=alive(diffusers.PixArtTransformer2DModel(**TRANSFORMER | transformer)),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )

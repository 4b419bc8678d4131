"""FLUX.1 dev, told its guidance, and schnell, which is not: packed latents, CLIP and T5."""

import diffusers

from tests.export.families.parts import SHIFTED, T5_WIDTH, WIDTH, alive, autoencoder, clip, t5
from tests.export.families.tokenizers import clip_tokenizer, t5_tokenizer

TRANSFORMER = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": T5_WIDTH,
    "pooled_projection_dim": WIDTH,
    "axes_dims_rope": (4, 6, 6),
}
DYNAMIC = {"use_dynamic_shifting": True, "shift": 3.0, "base_shift": 0.5, "max_shift": 1.15}


def dev():
    """FLUX.1-dev: guidance embedded, the shift depends on the size."""
    return _pipeline(DYNAMIC, 512, guidance_embeds=True)


def schnell():
    """FLUX.1-schnell: no guidance, no shift, 256 tokens of T5."""
    return _pipeline({"shift": 1.0}, 256, guidance_embeds=False)


def _pipeline(scheduler, tokens, **transformer):
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**scheduler),
        vae=autoencoder(**SHIFTED),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(tokens),
        transformer=alive(diffusers.FluxTransformer2DModel(**TRANSFORMER | transformer)),
    )

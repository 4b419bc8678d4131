"""SDXL: two CLIP encoders, pooled text and sizes beside the time; turbo, Lightning, refiner."""

import diffusers

from tests.export.diffusers_folder.clip import END
from tests.export.families.parts import (
    OPEN_WIDTH,
    PROJECTION,
    WIDTH,
    alive,
    autoencoder,
    clip,
    open_clip_projected,
)
from tests.export.families.tokenizers import OPEN_PAD, clip_tokenizer

TIME_WIDTH = 8
UNET = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
    "norm_num_groups": 8,
    "use_linear_projection": True,
    "cross_attention_dim": WIDTH + OPEN_WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_WIDTH,
    "projection_class_embeddings_input_dim": PROJECTION + 6 * TIME_WIDTH,
}
REFINER = {
    "cross_attention_dim": OPEN_WIDTH,
    "projection_class_embeddings_input_dim": PROJECTION + 5 * TIME_WIDTH,
}
SCALING = 0.5
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
TRAILING = SCHEDULER | {"timestep_spacing": "trailing"}


def base(scheduler=None, **unet):
    """Stable Diffusion XL 1.0 base; Euler, leading.

    Args:
        scheduler: another scheduler of diffusers.
        unet: fields of the UNet's configuration.
    """
    return diffusers.StableDiffusionXLPipeline(
        **_components(scheduler, **unet),
        text_encoder=clip(eos_token_id=2, bos_token_id=0, pad_token_id=1),
        tokenizer=clip_tokenizer(END),
    )


def turbo():
    """SDXL-Turbo: the same network, ancestral Euler with trailing times."""
    return base(diffusers.EulerAncestralDiscreteScheduler(**TRAILING))


def lightning():
    """SDXL-Lightning: the same network, Euler with trailing times."""
    return base(diffusers.EulerDiscreteScheduler(**TRAILING))


def refiner():
    """SDXL's refiner: the second encoder alone, an aesthetic score instead of the target size."""
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        **_components(None, **REFINER),
        text_encoder=None,
        tokenizer=None,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    )


def inpaint():
    """SDXL inpainting 0.1: nine channels, the mask and the masked picture's latent among them."""
    parts = base(in_channels=9).components
    return diffusers.StableDiffusionXLInpaintPipeline(**parts)


def _components(scheduler, **unet):
    return {
        "vae": autoencoder(scaling_factor=SCALING, force_upcast=True),
        "text_encoder_2": open_clip_projected(),
        "tokenizer_2": clip_tokenizer(OPEN_PAD),
        "unet": alive(diffusers.UNet2DConditionModel(**UNET | unet)),
        "scheduler": scheduler or diffusers.EulerDiscreteScheduler(**SCHEDULER),
        "add_watermarker": False,
    }

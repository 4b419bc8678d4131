"""Stable Diffusion 1 and 2, inpainting with nine channels, LCM, and a tiny autoencoder."""

import diffusers

from tests.export.diffusers_tiny import SCHEDULER, UNET
from tests.export.families.parts import (
    OPEN_WIDTH,
    alive,
    autoencoder,
    clip,
    open_clip,
    tiny_autoencoder,
)
from tests.export.families.tokenizers import OPEN_PAD, clip_tokenizer

CHANNELS = (16, 32)
SECOND = {
    "use_linear_projection": True,
    "attention_head_dim": (2, 4),
    "cross_attention_dim": OPEN_WIDTH,
}
PNDM = {key: SCHEDULER[key] for key in SCHEDULER if key != "clip_sample"} | {"skip_prk_steps": True}
GUIDANCE_WIDTH = 16


def first(**components):
    """Stable Diffusion 1.5: noise predicted, PNDM without its Runge-Kutta steps.

    Args:
        components: parts of the pipeline to take instead.
    """
    return diffusers.StableDiffusionPipeline(**_components(**components), **_unchecked())


def second():
    """Stable Diffusion 2.1: v predicted, OpenCLIP, linear projections."""
    components = {
        "scheduler": diffusers.DDIMScheduler(**SCHEDULER, prediction_type="v_prediction"),
        "text_encoder": open_clip(),
        "tokenizer": clip_tokenizer(OPEN_PAD),
        "unet": unet(**SECOND),
    }
    return first(**components)


def tiny_vae():
    """Stable Diffusion 1.5 with TAESD in place of its autoencoder."""
    return first(vae=tiny_autoencoder())


def inpaint():
    """Stable Diffusion inpainting: latent, mask and the masked picture's latent."""
    parts = _components(unet=unet(in_channels=9), scheduler=diffusers.DDIMScheduler(**SCHEDULER))
    return diffusers.StableDiffusionInpaintPipeline(**parts, **_unchecked())


def consistency():
    """LCM Dreamshaper: the guidance scale embedded beside the time."""
    parts = _components(
        unet=unet(time_cond_proj_dim=GUIDANCE_WIDTH), scheduler=diffusers.LCMScheduler(**SCHEDULER)
    )
    return diffusers.LatentConsistencyModelPipeline(**parts, **_unchecked())


def unet(**changes):
    fields = UNET | {"block_out_channels": CHANNELS} | changes
    return alive(diffusers.UNet2DConditionModel(**fields))


def _components(**changes):
    return {
        "vae": autoencoder(),
        "text_encoder": clip(),
        "tokenizer": clip_tokenizer(),
        "unet": unet(),
        "scheduler": diffusers.PNDMScheduler(**PNDM),
    } | changes


def _unchecked():
    return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}

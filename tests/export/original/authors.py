"""A pipeline's weights as the authors of its model published them, walked from its modules.

Written from the original networks' constructors, block by block: nothing here knows the tables of
the compiler or diffusers' conversions.
"""

import torch

from tests.export.original.joint import double_and_single, joint
from tests.export.original.latent import open_clip, unet, vae

DIFFUSION = "model.diffusion_model."
VAE = "first_stage_model."
SECOND = "conditioner.embedders.1.model."


def stable_diffusion_1(pipeline):
    """v1-5-pruned.safetensors: CLIP as transformers names it, with the numbers of its positions."""
    text = below("cond_stage_model.transformer.text_model.", bare(pipeline.text_encoder))
    count = pipeline.text_encoder.config.max_position_embeddings
    numbers = {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(count)[None]
    }
    return latent(pipeline) | text | numbers | {"betas": torch.rand(10), "sqrt_a": torch.rand(3)}


def stable_diffusion_2(pipeline):
    """v2-1_768-ema-pruned.safetensors: OpenCLIP with one layer more than is read."""
    text = open_clip(pipeline.text_encoder)
    last = pipeline.text_encoder.config.num_hidden_layers
    more = {
        key.replace(".0.", f".{last}.", 1): torch.full_like(value, 9.0)
        for key, value in text.items()
        if ".resblocks.0." in key
    }
    width = pipeline.text_encoder.config.hidden_size
    unread = {"text_projection": torch.rand(width, width), "logit_scale": torch.tensor(4.6)}
    return latent(pipeline) | below("cond_stage_model.model.", text | more | unread)


def stable_diffusion_xl(pipeline):
    """sd_xl_base_1.0.safetensors."""
    first = below("conditioner.embedders.0.transformer.text_model.", bare(pipeline.text_encoder))
    second = open_clip(pipeline.text_encoder_2) | {"logit_scale": torch.tensor(4.6)}
    return latent(pipeline) | first | below(SECOND, second) | {"denoiser.sigmas": torch.rand(9)}


def refiner(pipeline):
    """sd_xl_refiner_1.0.safetensors."""
    text = below("conditioner.embedders.0.model.", open_clip(pipeline.text_encoder_2))
    return latent(pipeline) | text


def stable_diffusion_3(pipeline):
    """sd3_medium_incl_clips_t5xxl.safetensors, whose first encoder has no projection."""
    encoders = {"clip_l": pipeline.text_encoder, "clip_g": pipeline.text_encoder_2}
    if pipeline.text_encoder_3 is not None:
        encoders["t5xxl"] = pipeline.text_encoder_3
    found = below(DIFFUSION, joint(pipeline.transformer)) | below(VAE, vae(pipeline.vae))
    for name, encoder in encoders.items():
        found |= below(f"text_encoders.{name}.transformer.", untied(encoder))
    del found["text_encoders.clip_l.transformer.text_projection.weight"]
    return found


def flux(pipeline):
    """flux1-dev.safetensors: the transformer alone, without a prefix."""
    return double_and_single(pipeline.transformer)


def latent(pipeline):
    """UNet and autoencoder."""
    return below(DIFFUSION, unet(pipeline.unet)) | below(VAE, vae(pipeline.vae))


def below(prefix, tensors):
    """The tensors under longer names, in memory of their own."""
    return {prefix + key: value.detach().clone().contiguous() for key, value in tensors.items()}


def bare(encoder):
    """A CLIP encoder's tensors without the prefix that transformers gives some of them."""
    return {key.removeprefix("text_model."): v for key, v in encoder.state_dict().items()}


def untied(encoder):
    """A text encoder's tensors; of an embedding with two names, one."""
    state = encoder.state_dict()
    if "shared.weight" in state:
        return {key: v for key, v in state.items() if key != "encoder.embed_tokens.weight"}
    return state

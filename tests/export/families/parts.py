"""Text encoders and autoencoders, as small as leaves every input alive.

Layers of torch and of transformers start so small that a text would hardly change a picture, and
many parameters start at zero or one: `alive` redraws both kinds.
"""

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from tests.export.diffusers_folder.clip import END, START
from tests.export.diffusers_tiny import VAE, redrawn
from tests.export.families.tokenizers import TOKENS, trained_pairs

WIDTH = 32
OPEN_WIDTH = 48
PROJECTION = 40
T5_WIDTH = 96
T5_ROWS = 256
"""More rows than the tokenizer has tokens, as T5's 32128 for 32100."""

GAIN = 1.25
"""Standard deviation of a layer's output for inputs of unit variance."""

SHIFTED = {
    "latent_channels": 16,
    "scaling_factor": 0.8,
    "shift_factor": 0.25,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""What the autoencoders of flow transformers have instead."""


def alive(module):
    """The module with every layer's weight redrawn large and every constant parameter redrawn."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Embedding):
                part.weight.normal_()
            elif isinstance(part, nn.Linear):
                part.weight.normal_(std=GAIN * part.in_features**-0.5)
    return redrawn(module)


def clip(**changes):
    """OpenAI's text encoder: quick_gelu, the end's embedding pooled."""
    return alive(CLIPTextModel(_clip_config(**changes)))


def clip_projected(**changes):
    """A text encoder whose pooled embedding is projected to another width."""
    return alive(CLIPTextModelWithProjection(_clip_config(**changes)))


def open_clip(**changes):
    """OpenCLIP's text encoder without its projection: gelu."""
    return clip(hidden_size=OPEN_WIDTH, hidden_act="gelu", **changes)


def open_clip_projected(**changes):
    """OpenCLIP's text encoder with its projection."""
    return clip_projected(
        hidden_size=OPEN_WIDTH, hidden_act="gelu", projection_dim=PROJECTION, **changes
    )


def _clip_config(**changes):
    vocabulary, _ = trained_pairs()
    ids = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END]}
    fields = {
        "vocab_size": len(vocabulary),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": TOKENS,
        "projection_dim": WIDTH,
        "pad_token_id": vocabulary[END],
    }
    return CLIPTextConfig(**fields | ids | changes)


def t5():
    """T5 1.1's encoder: gated gelu, relative positions in the first layer alone."""
    config = T5Config(
        vocab_size=T5_ROWS,
        d_model=T5_WIDTH,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
    )
    return alive(T5EncoderModel(config))


def autoencoder(**changes):
    """A KL autoencoder of factor 4."""
    return loud(alive(AutoencoderKL(**VAE | changes)))


def tiny_autoencoder():
    """TAESD's: no posterior, activations instead of norms, factor 4."""
    channels = (16, 16, 16)
    module = AutoencoderTiny(
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=4,
        scaling_factor=1.0,
    )
    return loud(alive(module), gain=1.05)


def loud(module, gain=GAIN):
    """The module with large convolutions, whose latents and pictures have about unit size."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.normal_(std=gain * part.weight[0].numel() ** -0.5)
    return module

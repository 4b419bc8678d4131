"""The rest of a folder: the smallest text encoders, tokenizers and autoencoders that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import transformers

from denoisert.export.sources.zoo import zoo_folder

if TYPE_CHECKING:
    from torch import nn

TOKENS = 77
FACTOR_LEVELS = 4  # of the autoencoder: 8 pixels a position
TEXT_PIECES = 4
HUGE = 4096  # width of T5's states


def beside(pipeline: str, **text: Any) -> dict[str, Any]:  # noqa: ANN401
    """Every component of a pipeline but its network.

    Args:
        pipeline: name of its class.
        text: fields of the only text encoder's configuration.
    """
    if pipeline == "DiTPipeline":
        return {"vae": autoencoder(4), "scheduler": diffusers.DDIMScheduler()}
    if pipeline == "StableDiffusionPipeline":
        return {
            "vae": autoencoder(4),
            "scheduler": diffusers.DDIMScheduler(),
            "text_encoder": clip(768, **text),
            "tokenizer": clip_tokenizer(),
            **dict.fromkeys(("safety_checker", "feature_extractor")),
            "requires_safety_checker": False,
        }
    if pipeline == "StableDiffusionXLPipeline":
        return {
            "vae": autoencoder(4),
            "scheduler": diffusers.EulerDiscreteScheduler(),
            "text_encoder": clip(768),
            "tokenizer": clip_tokenizer(),
            "text_encoder_2": projected(1280),
            "tokenizer_2": clip_tokenizer(),
        }
    return {
        "vae": autoencoder(16, shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "text_encoder": clip(768),
        "tokenizer": clip_tokenizer(),
        "text_encoder_2": t5(),
        "tokenizer_2": t5_tokenizer(),
    }


def autoencoder(channels: int, **changes: Any) -> nn.Module:  # noqa: ANN401
    """A KL autoencoder of factor 8."""
    return diffusers.AutoencoderKL(
        block_out_channels=(32,) * FACTOR_LEVELS,
        down_block_types=("DownEncoderBlock2D",) * FACTOR_LEVELS,
        up_block_types=("UpDecoderBlock2D",) * FACTOR_LEVELS,
        latent_channels=channels,
        **changes,
    )


def clip(width: int, **changes: Any) -> nn.Module:  # noqa: ANN401
    """A CLIP text encoder, of two layers unless told otherwise."""
    return transformers.CLIPTextModel(_clip(width, **changes))


def projected(width: int) -> nn.Module:
    """A CLIP text encoder of two layers with a projection of the same width."""
    return transformers.CLIPTextModelWithProjection(_clip(width, projection_dim=width))


def _clip(width: int, **changes: Any) -> transformers.CLIPTextConfig:  # noqa: ANN401
    fields = {
        "vocab_size": len(clip_tokenizer()),
        "hidden_size": width,
        "intermediate_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "max_position_embeddings": TOKENS,
    }
    return transformers.CLIPTextConfig(**fields | changes)


def clip_tokenizer() -> transformers.CLIPTokenizer:
    """The small vocabulary of the emoji model."""
    folder = zoo_folder("emoji") / "tokenizer"
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS)


def t5() -> nn.Module:
    """T5's encoder, one layer."""
    config = transformers.T5Config(
        vocab_size=256,
        d_model=HUGE,
        d_kv=64,
        d_ff=64,
        num_layers=1,
        num_heads=1,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
    )
    return transformers.T5EncoderModel(config)


def t5_tokenizer() -> transformers.T5Tokenizer:
    """Hardly any pieces."""
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581a", -1.0)]
    sentinels = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(100))]
    return transformers.T5Tokenizer(vocab=[*words, *sentinels], model_max_length=512)

"""The four components as diffusers and transformers build them, with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from transformers import CLIPTextModel

Vae: TypeAlias = Any
"""diffusers' AutoencoderKL. diffusers imports its classes late, which hides them from mypy."""

Unet: TypeAlias = Any
"""diffusers' UNet2DConditionModel."""

Pipeline: TypeAlias = Any
"""diffusers' StableDiffusionPipeline."""

Scheduler: TypeAlias = Any
"""diffusers' DPMSolverMultistepScheduler."""

PICTURE_PX: Final = 64
LATENT_PX: Final = 16
LATENT_CHANNELS: Final = 4
TOKENS: Final = 16
"""Length of every tokenised caption, start and end marks included."""

TEXT_WIDTH: Final = 128
"""Numbers in one text state: hidden size of the text encoder, cross-attention size of the UNet."""

MERGES: Final = 1500
"""Merges of the tokenizer at most."""

HEAD_DIM: Final = 32


def new_vae() -> Vae:
    """Autoencoder 64x64x3 <-> 16x16x4."""
    import diffusers

    network: Any = diffusers.AutoencoderKL
    return network(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=PICTURE_PX,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def new_unet() -> Unet:
    """UNet on 16x16, 8x8 and 4x4; text enters at 8x8 and in the middle."""
    import diffusers

    network: Any = diffusers.UNet2DConditionModel
    widths = (48, 96, 160)
    return network(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=widths,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=tuple(width // HEAD_DIM for width in widths),
        norm_num_groups=16,
    )


def new_text_encoder(tokens: int) -> CLIPTextModel:
    """CLIP's text encoder, two layers.

    Args:
        tokens: size of the vocabulary; the last two ids are the start and the end mark.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=TEXT_WIDTH // HEAD_DIM,
        max_position_embeddings=TOKENS,
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
        pad_token_id=tokens - 1,
    )
    return CLIPTextModel(config)


def new_scheduler() -> Scheduler:
    """DPM-Solver++(2M) on the schedule of the training, from the noisiest of its 1000 times on."""
    import diffusers

    scheduler: Any = diffusers.DPMSolverMultistepScheduler
    return scheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        algorithm_type="dpmsolver++",
        solver_order=2,
        steps_offset=1,
        timestep_spacing="trailing",
        use_karras_sigmas=True,
    )

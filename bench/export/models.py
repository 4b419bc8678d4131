"""Networks of real models, by the configurations that their folders publish; weights are random.

Beside the network a folder has the smallest text encoders and autoencoder that fit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SD15: Mapping[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
DIT_XL2: Mapping[str, Any] = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "sample_size": 32,
    "patch_size": 2,
}
SDXL: Mapping[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CLIP_L: Mapping[str, Any] = {
    "vocab_size": 49408,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
FLUX: Mapping[str, Any] = {
    "patch_size": 1,
    "in_channels": 64,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}


@dataclass(frozen=True, slots=True)
class Model:
    """One folder to write.

    Args:
        title: in the names of cases.
        pipeline: of diffusers, by the name of its class.
        network: of diffusers, likewise.
        config: of the network.
        size: edge of a picture in pixels.
        text: fields of its only text encoder's configuration.
    """

    title: str
    pipeline: str
    network: str
    config: Mapping[str, Any]
    size: int
    text: Mapping[str, Any] = field(default_factory=dict)


def sd15() -> Model:
    """Stable Diffusion 1.5's UNet, 860 M parameters."""
    pipeline, network = "StableDiffusionPipeline", "UNet2DConditionModel"
    return Model("SD1.5 UNet", pipeline, network, SD15, 512)


def clip_l() -> Model:
    """A small network beside CLIP-L, which is what Stable Diffusion 1's text encoder is."""
    pipeline, network = "StableDiffusionPipeline", "UNet2DConditionModel"
    small = SD15 | {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
    return Model("CLIP-L", pipeline, network, small, 128, CLIP_L)


def dit_xl2() -> Model:
    """DiT-XL/2 for 256 pixels, 675 M parameters, and a label embedding in every block."""
    return Model("DiT-XL/2", "DiTPipeline", "DiTTransformer2DModel", DIT_XL2, 256)


def dit(width: int, layers: int) -> Model:
    """A DiT for 256 pixels with heads of 64: 18 width^2 parameters in each layer.

    Args:
        width: a multiple of 64.
        layers: blocks.
    """
    sizes = {"num_attention_heads": width // 64, "attention_head_dim": 64, "num_layers": layers}
    config, name = DIT_XL2 | sizes, f"DiT, {layers} x {width}"
    return Model(name, "DiTPipeline", "DiTTransformer2DModel", config, 256)


def sdxl(depth: int) -> Model:
    """SDXL's UNet, 2.6 B parameters at 10 layers.

    Args:
        depth: transformer layers behind each resnet of the last level.
    """
    config = SDXL | {"transformer_layers_per_block": (1, 2, depth)}
    name = f"SDXL UNet, {depth} of 10 layers"
    return Model(name, "StableDiffusionXLPipeline", "UNet2DConditionModel", config, 128)


def flux_whole() -> Model:
    """FLUX.1-dev's transformer with all blocks, at the size that it was trained at."""
    config = FLUX | {"num_layers": 19, "num_single_layers": 38}
    return Model("FLUX transformer", "FluxPipeline", "FluxTransformer2DModel", config, 1024)


def flux(double: int, single: int) -> Model:
    """FLUX.1-dev's transformer, 11.9 B parameters at 19 and 38 blocks.

    Args:
        double: blocks with streams of their own for picture and text.
        single: blocks with one stream.
    """
    config = FLUX | {"num_layers": double, "num_single_layers": single}
    name = f"FLUX transformer, {double} of 19 and {single} of 38 blocks"
    return Model(name, "FluxPipeline", "FluxTransformer2DModel", config, 128)

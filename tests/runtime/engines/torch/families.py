"""Tiny random networks of the families that people export, each behind a forward of plain names."""

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DiTTransformer2DModel,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    UNet2DModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from denoisert.export.graph.signature import Signature
from denoisert.runtime.engines.engine import Port

LATENT = (("latent", "float32", (4, 8, 8)), ("time", "float32", ()))
BLOCKS = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
CROSS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 24,
}


class Text(nn.Module):
    inputs = (*LATENT, ("states", "float32", (7, 24)))

    def __init__(self):
        super().__init__()
        self.network = UNet2DConditionModel(**BLOCKS, **CROSS, attention_head_dim=4)

    def forward(self, latent, time, states):
        return self.network(latent, time, encoder_hidden_states=states, return_dict=False)[0]


class TextTime(nn.Module):
    inputs = (*Text.inputs, ("pooled", "float32", (20,)), ("sizes", "float32", (6,)))

    def __init__(self):
        super().__init__()
        more = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
        self.network = UNet2DConditionModel(
            **BLOCKS,
            **CROSS,
            **more,
            attention_head_dim=(2, 4),
            projection_class_embeddings_input_dim=20 + 6 * 8,
            use_linear_projection=True,
            transformer_layers_per_block=(1, 2),
        )

    def forward(self, latent, time, states, pooled, sizes):
        added = {"text_embeds": pooled, "time_ids": sizes}
        found = self.network(
            latent, time, encoder_hidden_states=states, added_cond_kwargs=added, return_dict=False
        )
        return found[0]


class Classes(nn.Module):
    inputs = (*LATENT, ("label", "int64", ()))

    def __init__(self):
        super().__init__()
        self.network = UNet2DModel(
            **BLOCKS,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            num_class_embeds=10,
            attention_head_dim=8,
        )

    def forward(self, latent, time, label):
        return self.network(latent, time, class_labels=label, return_dict=False)[0]


class Transformer(nn.Module):
    inputs = Classes.inputs

    def __init__(self):
        super().__init__()
        self.network = DiTTransformer2DModel(
            sample_size=8,
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=4,
            out_channels=8,
            num_embeds_ada_norm=10,
        )

    def forward(self, latent, time, label):
        found = self.network(latent, timestep=time, class_labels=label, return_dict=False)
        return found[0]


class Joint(nn.Module):
    inputs = (*LATENT, ("states", "float32", (5, 24)), ("pooled", "float32", (20,)))

    def __init__(self):
        super().__init__()
        self.network = SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=24,
            caption_projection_dim=32,
            pooled_projection_dim=20,
            out_channels=4,
            pos_embed_max_size=16,
            qk_norm="rms_norm",
        )

    def forward(self, latent, time, states, pooled):
        found = self.network(latent, states, pooled, time, return_dict=False)
        return found[0]


class Rotary(nn.Module):
    inputs = (
        ("latent", "float32", (12, 8)),
        ("time", "float32", ()),
        ("states", "float32", (5, 24)),
        ("pooled", "float32", (20,)),
        ("strength", "float32", ()),
    )

    def __init__(self):
        super().__init__()
        self.network = FluxTransformer2DModel(
            patch_size=1,
            in_channels=8,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            pooled_projection_dim=20,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        )
        rows = torch.arange(12)
        ids = torch.stack((torch.zeros(12), rows // 4, rows % 4), -1).float()
        self.register_buffer("picture_ids", ids)
        self.register_buffer("text_ids", torch.zeros(5, 3))

    def forward(self, latent, time, states, pooled, strength):
        found = self.network(
            hidden_states=latent,
            encoder_hidden_states=states,
            pooled_projections=pooled,
            timestep=time / 1000,
            img_ids=self.picture_ids,
            txt_ids=self.text_ids,
            guidance=strength / 1000,
            return_dict=False,
        )
        return found[0]


class Decoder(nn.Module):
    inputs = LATENT[:1]

    def __init__(self):
        super().__init__()
        self.network = AutoencoderKL(
            sample_size=16,
            block_out_channels=(16, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=8,
            latent_channels=4,
        )

    def forward(self, latent):
        return self.network.decode(latent, return_dict=False)[0]


class Pooled(nn.Module):
    """The text encoder whose pooled state sits at the largest token id."""

    inputs = (("token_ids", "int64", (9,)),)

    def __init__(self):
        super().__init__()
        config = CLIPTextConfig(
            vocab_size=10,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=9,
            projection_dim=20,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
            hidden_act="quick_gelu",
        )
        self.network = CLIPTextModelWithProjection(config)

    def forward(self, token_ids):
        found = self.network(input_ids=token_ids, output_hidden_states=True)
        return found.text_embeds, found.hidden_states[-2]


class Relative(nn.Module):
    """The text encoder with relative positions and a root mean square norm."""

    inputs = (("token_ids", "int64", (9,)),)

    def __init__(self):
        super().__init__()
        config = T5Config(
            vocab_size=10, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
            feed_forward_proj="gated-gelu", relative_attention_num_buckets=8,
        )  # fmt: skip
        self.network = T5EncoderModel(config)

    def forward(self, token_ids):
        return self.network(input_ids=token_ids).last_hidden_state


FAMILIES = {
    kind.__name__: kind
    for kind in (
        Text, TextTime, Classes, Transformer, Joint, Rotary, Decoder, Pooled, Relative,
    )
}  # fmt: skip


def signature_of(module):
    """The module's ports, for the project's own export."""
    inputs = tuple(Port(name, dtype, ("lanes", *dims)) for name, dtype, dims in module.inputs)

    def draw(lanes, rng, sizes=None):
        return {
            port.name: rng.integers(0, 10, port.shape(lanes))
            if port.dtype == "int64"
            else rng.standard_normal(port.shape(lanes)).astype("float32")
            for port in inputs
        }

    with torch.no_grad():
        given = {name: torch.from_numpy(x) for name, x in draw(2, np.random.default_rng(0)).items()}
        found = module(**given)
    tensors = found if isinstance(found, tuple) else (found,)
    outputs = tuple(
        Port(f"out{i}", "float32", ("lanes", *tensor.shape[1:])) for i, tensor in enumerate(tensors)
    )
    return Signature("denoiser", inputs, outputs, draw)

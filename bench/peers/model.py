"""What is drawn with: the emoji folder, and folders of usual sizes with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.export.models import Model
from bench.export.parts import TOKENS
from bench.peers.place import Place
from denoisert.export.sources.zoo import zoo_folder

EMOJI = "emoji"

UNET = Model(
    "UNet",
    "StableDiffusionPipeline",
    "UNet2DConditionModel",
    {
        "sample_size": 32,
        "block_out_channels": (96, 160, 256),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 256,
        "attention_head_dim": 4,
    },
    256,
    {
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    },
)
"""Shaped like Stable Diffusion 1.5, a fortieth of its size."""

DIT = Model(
    "DiT-S/2",
    "DiTPipeline",
    "DiTTransformer2DModel",
    {
        "num_attention_heads": 6,
        "attention_head_dim": 64,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 12,
        "sample_size": 32,
        "patch_size": 2,
    },
    256,
)
"""The small one of the paper, 256 tokens."""

WRITTEN = {"unet": UNET, "dit": DIT}
MODELS = (EMOJI, *WRITTEN)


def source_of(place: Place) -> Path:
    """The diffusers folder of a place's model, written now where it is one with random weights."""
    if place.model not in WRITTEN:
        return zoo_folder(place.model)
    from bench.export.folder import write

    folder = place.own / "source"
    if not folder.exists():
        write(WRITTEN[place.model], folder)
        if (folder / "tokenizer").is_dir():
            _publish_tokenizer(folder / "tokenizer")
    return folder


def _publish_tokenizer(folder: Path) -> None:
    """Write the files that published folders have; transformers 5 saves one that 4 cannot read."""
    shutil.rmtree(folder)
    shutil.copytree(zoo_folder(EMOJI) / "tokenizer", folder)
    place = folder / "tokenizer_config.json"
    config = json.loads(place.read_text()) | {"model_max_length": TOKENS}
    place.write_text(json.dumps(config, indent=2))

"""Writing the diffusers folder: float16 weights, safetensors, one component in each subfolder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from denoisert.export.zoo.emoji import tokenizer
from denoisert.export.zoo.emoji.architecture import TOKENS, Pipeline, Unet, Vae, new_scheduler

PREFIX: Final = "text_model."
README: Final = """\
---
license: ofl-1.1
pipeline_tag: text-to-image
num_inference_steps: 16
guidance_scale: 4.0
---
Draws 64x64 emoji from their Unicode names. Trained on glyphs of Noto Color Emoji (Copyright Google
Inc., SIL Open Font License 1.1).
"""
"""The front matter holds what diffusers has no file for: the recommended steps and guidance."""

if TYPE_CHECKING:
    from transformers import CLIPTextModel

    from denoisert.export.zoo.emoji.tokenizer import Vocabulary


def save_folder(
    folder: Path,
    *,
    vocabulary: Vocabulary,
    text_encoder: CLIPTextModel,
    unet: Unet,
    vae: Vae,
) -> None:
    """Write what `StableDiffusionPipeline.from_pretrained` reads.

    Args:
        folder: created if missing; files in it are replaced.
        vocabulary: of the tokenizer.
        text_encoder: any float type.
        unet: any float type.
        vae: any float type.
    """
    import diffusers

    tokenizer.write(vocabulary, folder / "tokenizer", TOKENS)
    modules: dict[str, Any] = {"text_encoder": text_encoder, "unet": unet, "vae": vae}
    for name, module in modules.items():
        copy.deepcopy(module).half().save_pretrained(folder / name, safe_serialization=True)
    _restore_names(folder / "text_encoder" / "model.safetensors")
    new_scheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "README.md").write_text(README, encoding="utf-8")
    text = json.dumps(index, indent=2) + "\n"
    (folder / "model_index.json").write_text(text, encoding="utf-8")


def _restore_names(path: Path) -> None:
    """Name the text encoder's tensors as published folders do.

    transformers 5.23 saves them without the prefix that every earlier version looks for; those
    would draw the weights at random.
    """
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    named = {PREFIX + name.removeprefix(PREFIX): value for name, value in tensors.items()}
    save_file(named, path, metadata={"format": "pt"})


def load_pipeline(folder: Path) -> Pipeline:
    """Read the folder into a StableDiffusionPipeline of float32 modules."""
    import diffusers

    pipeline: Pipeline = diffusers.StableDiffusionPipeline
    pipeline = pipeline.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

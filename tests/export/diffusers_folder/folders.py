"""Model folders without torch: JSON files of a text-to-image pipeline and a few small tensors."""

import json

import numpy as np
from safetensors.numpy import save_file

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
CONFIGS = {
    "scheduler/scheduler_config.json": {"_class_name": "DDIMScheduler", "clip_sample": False},
    "text_encoder/config.json": {"architectures": ["CLIPTextModel"], "vocab_size": 300},
    "tokenizer/tokenizer_config.json": {"tokenizer_class": "CLIPTokenizer"},
    "unet/config.json": {"_class_name": "UNet2DConditionModel", "in_channels": 4},
    "vae/config.json": {"_class_name": "AutoencoderKL", "scaling_factor": 0.2},
}
STEM = "diffusion_pytorch_model"


def write_folder(root, index=None, configs=None):
    """A folder that is read without complaint; arguments replace entries, None removes them."""
    merged = INDEX | (index or {})
    write(root / "model_index.json", {k: v for k, v in merged.items() if v is not ...})
    for name, config in (CONFIGS | (configs or {})).items():
        if config is not ...:
            write(root / name, config)
    return root


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def tensors(*names, shape=(2, 3)):
    """Float32 tensors, each of its own value."""
    return {name: np.full(shape, 1.0 + n, np.float32) for n, name in enumerate(names)}


def save(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path)
    return path


def save_shards(folder, *shards, weight_map=None, infix=""):
    """Shards with an index that tells the truth, unless it is given."""
    names = [f"{STEM}-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
    for name, arrays in zip(names, shards, strict=True):
        save(folder / name, arrays)
    truth = {t: name for name, arrays in zip(names, shards, strict=True) for t in arrays}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map or truth}
    write(folder / f"{STEM}.safetensors.index{infix}.json", index)
    return [folder / name for name in names]

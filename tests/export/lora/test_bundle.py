"""A bundle with LoRAs makes the picture that diffusers' fused pipeline makes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from denoisert.export import Compiled, CompileOptions, Lora, compile_bundle
from denoisert.export.lora.record import RECORD
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.runtime import CFG, Request, Runtime
from tests.export.families.oracles import opened, text_to_image
from tests.export.lora.drawn import draw, is_attention, is_text, kohya, peft, saved
from tests.once import Once

pytestmark = pytest.mark.slow

LATENT = 1e-3
DIFFERENT = 0.1
WEIGHTS = {"content": 0.8, "style": -0.6}


@pytest.fixture(scope="module")
def files(tiny_text_folder: Path, once: Once) -> dict[str, Path]:
    """Two LoRAs: peft's names for the attention of the UNet, kohya's for all of both networks."""

    def write(folder: Path) -> None:
        pipe = StableDiffusionPipeline.from_pretrained(tiny_text_folder, dtype=torch.float32)
        attention = draw(pipe.unet, 1, rank=4, keep=is_attention)
        saved(folder, "content", peft(attention, "unet."))
        text = draw(pipe.text_encoder, 2, keep=is_text, size=0.4)
        saved(
            folder,
            "style",
            kohya(draw(pipe.unet, 3), "lora_unet_", lambda number: 1.5),
            kohya(text, "lora_te_text_model_", lambda number: 3.0),
        )

    folder = once("loras", write)
    return {name: folder / f"{name}.safetensors" for name in WEIGHTS}


def loras(files: dict[str, Path]) -> CompileOptions:
    return CompileOptions(loras=tuple(Lora(files[name], WEIGHTS[name]) for name in WEIGHTS))


@pytest.fixture(scope="module")
def compiled(
    tiny_text_folder: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Compiled:
    out = tmp_path_factory.mktemp("lora") / "merged.bundle"
    return compile_bundle(tiny_text_folder, out, options=loras(files))


@pytest.fixture(scope="module")
def fused_folder(
    tiny_text_folder: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What diffusers saves after it has fused both files."""
    pipe = StableDiffusionPipeline.from_pretrained(tiny_text_folder, dtype=torch.float32)
    for name, weight in WEIGHTS.items():
        pipe.load_lora_weights(str(files[name].parent), weight_name=files[name].name)
        pipe.fuse_lora(components=["unet", "text_encoder"], lora_scale=weight)
        pipe.unload_lora_weights()
    folder = tmp_path_factory.mktemp("fused") / "fused"
    pipe.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("class_name", ["DDIMScheduler", "LCMScheduler"])
def test_latents_equal_the_fused_pipeline_s_and_not_the_base_s(
    class_name: str, compiled: Compiled, fused_folder: Path, text_bundle: Path
) -> None:
    """The second scheduler is that of an LCM-LoRA, which makes a student of any such network."""
    kind = getattr(diffusers, class_name)
    scheduler = kind.from_config(kind.load_config(fused_folder, subfolder="scheduler"))
    sampler = read_scheduler(class_name, dict(scheduler.config)).recommended
    request = Request(
        "red apple",
        seed=11,
        images=2,
        steps=8,
        guidance=CFG(4.0),
        solver=sampler.solver,
        schedule=sampler.spacing,
    )
    with Runtime.open(compiled.path, threads=1) as runtime:
        found = runtime.generate(request).flat
        theirs = text_to_image(
            fused_folder, request, pipeline=opened(fused_folder, scheduler=scheduler)
        ).latents
    with Runtime.open(text_bundle, threads=1) as runtime:
        base = runtime.generate(request).flat
    theirs = theirs.reshape(found.shape)
    assert np.abs(found - theirs).max() <= LATENT * np.abs(theirs).max()
    assert np.abs(found - base).max() > DIFFERENT * np.abs(base).max()


def test_the_bundle_says_what_is_merged(compiled: Compiled, files: dict[str, Path]) -> None:
    with Runtime.open(compiled.path, threads=1) as runtime:
        assert runtime.card.name == "tiny + content 0.8 + style -0.6"
    entries = json.loads((compiled.path / RECORD).read_bytes())
    assert [(entry["file"], entry["weight"]) for entry in entries] == [
        ("content.safetensors", 0.8),
        ("style.safetensors", -0.6),
    ]
    for entry, path in zip(entries, files.values(), strict=True):
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entries[0]["layers"].keys() == {"unet"}
    assert entries[1]["layers"]["text_encoder"] == 12
    notes = [note for note in compiled.notes if note.startswith("LoRA")]
    assert len(notes) == 2
    assert "weight -0.6" in notes[1]


def test_the_same_content_elsewhere_is_cached(
    compiled: Compiled, tiny_text_folder: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    moved = {name: Path(shutil.copy(path, tmp_path)) for name, path in files.items()}
    again = compile_bundle(tiny_text_folder, compiled.path, options=loras(moved))
    assert again.is_cached
    assert again.id == compiled.id

"""The shipped folder, read without building a network; and how such a folder is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.numpy import load_file
from transformers import CLIPTextConfig, CLIPTextModel

import denoisert.export.zoo.emoji as emoji
from denoisert.export.sources.diffusers.readme import read_readme
from denoisert.export.zoo.emoji.architecture import (
    LATENT_CHANNELS,
    LATENT_PX,
    MERGES,
    PICTURE_PX,
    TEXT_WIDTH,
    TOKENS,
    new_scheduler,
)
from denoisert.export.zoo.emoji.data import load_glyphs
from denoisert.export.zoo.emoji.folder import load_pipeline, save_folder
from denoisert.export.zoo.emoji.tokenizer import Vocabulary, learn, write
from denoisert.runtime.bundle.weights import read_header

FOLDER = Path(emoji.__file__).parent / "model"
COMPONENTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
WEIGHTS_LIMIT_BYTES = 20_000_000


def config(name: str, file: str = "config.json") -> dict[str, Any]:
    return json.loads((FOLDER / name / file).read_text(encoding="utf-8"))


def tiny_folder(folder: Path) -> Vocabulary:
    """A folder of tiny random components, written by the function that wrote the shipped one."""
    torch.manual_seed(1)
    vocabulary = learn(["red apple", "cat"], 20)
    size = len(vocabulary.tokens)
    text = CLIPTextConfig(
        vocab_size=size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        pad_token_id=size - 1,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=1,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, sample_size=8)
    save_folder(folder, vocabulary=vocabulary, text_encoder=CLIPTextModel(text), unet=unet, vae=vae)
    assert next(unet.parameters()).dtype == torch.float32
    return vocabulary


class TestShipped:
    def test_all_components_are_there_and_nothing_else(self):
        assert sorted(path.name for path in FOLDER.iterdir()) == sorted(
            (*COMPONENTS, "README.md", "model_index.json")
        )
        index = json.loads((FOLDER / "model_index.json").read_text(encoding="utf-8"))
        assert index["_class_name"] == "StableDiffusionPipeline"
        assert index["requires_safety_checker"] is False
        assert index["safety_checker"] == index["feature_extractor"] == [None, None]
        assert {name for name in COMPONENTS if index[name][0]} == set(COMPONENTS)

    def test_weights_are_safetensors_in_float16_of_at_most_20_megabytes(self):
        files = [path for path in FOLDER.rglob("*") if path.suffix in {".safetensors", ".bin"}]
        assert [path.suffix for path in files] == [".safetensors"] * 3
        assert sum(path.stat().st_size for path in files) <= WEIGHTS_LIMIT_BYTES
        for path in files:
            kinds = {tensor.dtype for tensor in read_header(path).values()}
            assert kinds <= {"float16", "int64"}, (path.name, kinds)

    def test_no_weight_is_infinite_or_nan(self):
        for path in FOLDER.rglob("*.safetensors"):
            for name, value in load_file(path).items():
                assert np.isfinite(value).all(), name

    def test_the_text_encoder_has_the_names_that_every_transformers_reads(self):
        names = read_header(FOLDER / "text_encoder" / "model.safetensors")
        assert all(name.startswith("text_model.") for name in names)

    def test_the_recommended_sampler_is_read_from_it(self):
        readme = read_readme(FOLDER)
        assert (readme.licence, readme.steps, readme.guidance_scale) == ("ofl-1.1", 16, 4.0)
        assert config("scheduler", "scheduler_config.json")["timestep_spacing"] == "trailing"

    def test_shapes_fit_together(self):
        unet, vae, text = config("unet"), config("vae"), config("text_encoder")
        assert unet["sample_size"] == LATENT_PX
        assert unet["in_channels"] == unet["out_channels"] == LATENT_CHANNELS
        assert vae["latent_channels"] == LATENT_CHANNELS
        assert vae["sample_size"] == PICTURE_PX
        assert PICTURE_PX // 2 ** (len(vae["block_out_channels"]) - 1) == LATENT_PX
        assert unet["cross_attention_dim"] == text["hidden_size"] == TEXT_WIDTH
        assert text["max_position_embeddings"] == TOKENS

    def test_the_tokenizer_is_the_one_that_the_captions_give(self, tmp_path):
        vocabulary = learn((glyph.caption for glyph in load_glyphs()), MERGES)
        write(vocabulary, tmp_path, TOKENS)
        for path in tmp_path.iterdir():
            assert (FOLDER / "tokenizer" / path.name).read_bytes() == path.read_bytes(), path.name
        text = config("text_encoder")
        assert text["vocab_size"] == len(vocabulary.tokens)
        assert (text["bos_token_id"], text["eos_token_id"]) == (
            len(vocabulary.tokens) - 2,
            len(vocabulary.tokens) - 1,
        )

    def test_the_scheduler_is_the_one_of_the_training(self):
        shipped = config("scheduler", "scheduler_config.json")
        assert shipped["prediction_type"] == "v_prediction"
        assert shipped["beta_schedule"] == "scaled_linear"
        loaded = DPMSolverMultistepScheduler.from_config(shipped)
        torch.testing.assert_close(loaded.alphas_cumprod, new_scheduler().alphas_cumprod)


class TestSaving:
    @pytest.mark.filterwarnings("ignore")
    def test_a_written_folder_draws_in_float32(self, tmp_path):
        tiny_folder(tmp_path / "model")
        pipeline = load_pipeline(tmp_path / "model")
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            assert {value.dtype for value in part.parameters()} == {torch.float32}
        names = read_header(tmp_path / "model" / "text_encoder" / "model.safetensors")
        assert all(name.startswith("text_model.") for name in names)
        pictures = pipeline(["red apple", "ü"], num_inference_steps=2, output_type="np").images
        assert pictures.shape == (2, 8, 8, 3)
        assert np.isfinite(pictures).all()

    @pytest.mark.filterwarnings("ignore")
    def test_saving_again_gives_the_same_files(self, tmp_path):
        for name in ("first", "second"):
            tiny_folder(tmp_path / name)
        for path in (tmp_path / "first").rglob("*"):
            if path.is_file():
                twin = tmp_path / "second" / path.relative_to(tmp_path / "first")
                assert twin.read_bytes() == path.read_bytes(), path.name

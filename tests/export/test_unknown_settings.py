"""Settings that no class has: refused by name where they are set, left out where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from denoisert.export.compile import find_source
from tests.export.refused import edit, refused


@pytest.fixture
def folder(tiny_text_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(tiny_text_folder, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("component", "entries", "pieces"),
    [
        (
            "unet",
            {"cross_attention_gain": 2.0},
            ("'cross_attention_gain' = 2.0", "UNet2DConditionModel in diffusers 0."),
        ),
        ("vae", {"decoder_heads": 4}, ("'decoder_heads' = 4", "AutoencoderKL in diffusers 0.")),
        (
            "text_encoder",
            {"rope_theta": 1e4, "transformers_version": "9.0"},
            ("'rope_theta' = 10000.0", "CLIPTextModel in transformers", "version '9.0'"),
        ),
        ("scheduler", {"beta_power": 3}, ("'beta_power' = 3", "any scheduler")),
        ("scheduler", {"predict_epsilon": False}, ("'predict_epsilon' = False", "any scheduler")),
    ],
)
def test_a_setting_that_nobody_knows(
    folder: Path, component: str, entries: dict[str, object], pieces: tuple[str, ...]
) -> None:
    (config,) = (folder / component).glob("*config.json")
    edit(config, **entries)
    refused(
        folder,
        f"the configuration of {component} has",
        *pieces,
        "It would be left out, and pictures could be others.",
        "Remove the key if the model works without, or install the version that has it.",
    )


def test_a_setting_of_the_pipeline_that_nobody_knows(folder: Path) -> None:
    edit(folder / "model_index.json", boundary_ratio=0.9, _kept="x", some_new_key=None)
    refused(
        folder,
        "the configuration of the pipeline has 'boundary_ratio' = 0.9",
        "which is no setting of a StableDiffusionPipeline",
        "Remove the key if the model works without",
    )


@pytest.mark.parametrize(
    ("component", "entries"),
    [
        ("unet", {"some_new_key": None, "another": False, "decay": 0.99, "_kept": 3}),
        ("vae", {"power": 0.75, "attention_type": "default"}),
        ("text_encoder", {"length_penalty": 1.5, "torch_dtype": "float16", "dropout": 0.1}),
        ("scheduler", {"predict_epsilon": True, "lower_order_final": True, "tensor_format": "pt"}),
    ],
)
def test_a_setting_that_changes_nothing(
    folder: Path, component: str, entries: dict[str, object]
) -> None:
    (config,) = (folder / component).glob("*config.json")
    edit(config, **entries)
    find_source(folder).load()

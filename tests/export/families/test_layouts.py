"""Every layout holds the same model: diffusers makes the same pictures of it."""

import json
import shutil

import numpy as np
import pytest

from denoisert.export.sources.diffusers.spiece import read_spiece
from tests.export.families import layouts
from tests.export.families.folders import FAMILIES, family_folder
from tests.export.families.oracles import opened
from tests.export.families.tokenizers import trained_pieces

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

HALF = 0.05
"""Of the final latents, where the weights were rounded to float16."""
TEXTS = ("red apple", "a smiling face, don't you!", "", "猫 and <|endoftext|> 42 </s> é ﬁ")


@pytest.fixture
def copied(once, tmp_path):
    """name -> a copy of its folder."""
    return lambda name: shutil.copytree(family_folder(once, name), tmp_path / name)


def pictures(name, folder, **components):
    family = FAMILIES[name]
    pipeline = opened(folder, **components)
    return family.pictures(None, family.request(), pipeline=pipeline)


def assert_same(name, folder, once):
    """Latents and ids of texts are those of the folder that the installed versions wrote."""
    wanted = pictures(name, family_folder(once, name))
    assert np.array_equal(pictures(name, folder).latents, wanted.latents)
    ours, theirs = opened(folder), opened(family_folder(once, name))
    for part in [part for part in ours.components if part.startswith("tokenizer")]:
        for text in TEXTS:
            found, expected = (getattr(one, part)(text)["input_ids"] for one in (ours, theirs))
            assert found == expected, (part, text)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl", "sd3", "flux_dev", "dit", "ddpm"])
def test_the_earlier_layout(name, copied, once):
    folder = layouts.earlier(copied(name))
    assert_same(name, folder, once)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_diffusers_version"] == "0.36.0"
    assert ["transformers", "T5Tokenizer"] not in index.values()
    for place in layouts.tokenizers(folder):
        is_clip = (place / "vocab.json").exists()
        assert (place / "tokenizer.json").exists() is not is_clip
        assert (place / "spiece.model").exists() is not is_clip
    for path in folder.glob("text_encoder*/config.json"):
        config = json.loads(path.read_text())
        assert config["torch_dtype"] == "float32"
        assert "dtype" not in config
        weights = layouts.load_file(path.with_name("model.safetensors"))
        is_t5 = "shared.weight" in weights
        kept = ("text_model.", "text_projection.")
        assert is_t5 or all(key.startswith(kept) for key in weights)


@pytest.mark.parametrize("name", ["sd2", "sdxl", "sd35", "flux_dev", "pixart_alpha", "dit", "adm"])
def test_configurations_without_defaults(name, copied, once):
    folder = layouts.lean(copied(name))
    for path in folder.glob("*/*config.json"):
        config, whole = (
            layouts.read(each / path.relative_to(folder))
            for each in (folder, family_folder(once, name))
        )
        assert len(config) < len(whole) or "_class_name" not in config
    assert_same(name, folder, once)


def test_the_first_layout(copied, once):
    folder = layouts.first(copied("sd1"))
    weights = layouts.load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in weights
    assert not any(".to_q." in key for key in weights)
    assert "timestep_spacing" not in layouts.read(folder / "scheduler" / "scheduler_config.json")
    assert_same("sd1", folder, once)


@pytest.mark.parametrize("name", ["pixart_alpha", "sd3"])
def test_the_slow_layout(name, copied):
    """transformers 5 cannot read it here, where sentencepiece is not installed."""
    folder = layouts.slow(copied(name))
    index = json.loads((folder / "model_index.json").read_text())
    assert ["transformers", "T5Tokenizer"] in index.values()
    (place,) = {path.parent for path in folder.rglob("spiece.model")}
    assert not (place / "tokenizer.json").exists()
    spiece = read_spiece(place)
    assert [text for text, _ in spiece.scored] == [text for text, _ in trained_pieces()]
    scores = [score for _, score in spiece.scored]
    np.testing.assert_allclose(scores, [score for _, score in trained_pieces()], rtol=1e-6)
    added = json.loads((place / "added_tokens.json").read_text())
    assert added["<extra_id_0>"] == len(spiece.scored) + 99


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux_schnell"])
def test_half_weights_alone(name, tmp_path, once):
    folder = layouts.half(name, tmp_path / name)
    weights = {name for name in names(folder) if name.endswith(".safetensors")}
    assert weights
    assert all(name.endswith(".fp16.safetensors") for name in weights)
    wanted = pictures(name, family_folder(once, name))
    found = pictures(name, folder, variant="fp16")
    error = np.abs(found.latents - wanted.latents).max() / np.abs(wanted.latents).max()
    assert 0 < error < HALF


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux_schnell"])
def test_weights_in_shards(name, tmp_path, once):
    folder = layouts.sharded(name, tmp_path / name)
    assert any(".index.json" in path for path in names(folder))
    assert any("-00001-of-" in path for path in names(folder))
    assert_same(name, folder, once)


def test_half_weights_in_shards(tmp_path):
    folder = layouts.sharded("sdxl", tmp_path / "sdxl", variant="fp16")
    assert "unet/diffusion_pytorch_model.safetensors.index.fp16.json" in names(folder)
    assert pictures("sdxl", folder, variant="fp16").pixels.std() > 5

"""Random damage to every JSON file of a folder ends in a value or in ExportError, nothing else."""

import json
import random

import pytest

from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.export.sources.diffusers.settings import DEFAULTS
from denoisert.export.sources.diffusers.tokenizer import read_tokenizer
from denoisert.export.sources.diffusers.weights import find_weights
from tests.export.diffusers_folder.clip import END, START, train, write_files
from tests.export.diffusers_folder.damage import damage, survives
from tests.export.diffusers_folder.folders import (
    CONFIGS,
    INDEX,
    STEM,
    save_shards,
    tensors,
    write,
    write_folder,
)

ROUNDS = 120


def dumped(value):
    return json.dumps(value)  # escapes: lone surrogates stay readable


def test_damaged_folders(tmp_path):
    rng, root = random.Random(7), write_folder(tmp_path / "model")
    kept = 0
    for _ in range(ROUNDS):
        name = rng.choice(["model_index.json", "model_index.json", *CONFIGS])
        good = INDEX if name == "model_index.json" else CONFIGS[name]
        write(root / name, dumped(damage(good, rng)))
        kept += survives(lambda: read_folder(root))
        write(root / name, dumped(good))
    assert 0 < kept < ROUNDS


@pytest.mark.parametrize("class_name", DEFAULTS)
def test_damaged_schedulers(class_name):
    rng, config = random.Random(class_name), json.loads(json.dumps(DEFAULTS[class_name]))
    kept = sum(
        survives(lambda: read_scheduler(class_name, damage(damage(config, rng), rng)))
        for _ in range(ROUNDS // 2)
    )
    assert 0 < kept < ROUNDS // 2


def token(content):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False}


def test_damaged_tokenizers(tmp_path):
    rng, (ids, merges) = random.Random(9), train(300)
    folder = write_files(tmp_path / "model" / "tokenizer", ids, merges)
    small = {piece: ids[piece] for piece in sorted(ids, key=ids.__getitem__)}
    files = {
        "tokenizer_config.json": {
            "model_max_length": 77,
            "bos_token": token(START),
            "pad_token": "!",
        }
        | {"added_tokens_decoder": {str(len(ids)): token("<new>")}},
        "special_tokens_map.json": {"eos_token": token(END), "pad_token": "!"},
        "added_tokens.json": {"<cat>": len(ids), "<dog>": len(ids) + 1},
        "tokenizer.json": {
            "added_tokens": [{"id": ids[END]} | token(END)],
            "model": {"type": "BPE", "vocab": small, "merges": merges[:3]},
        },
    }
    plain = {"model_max_length": 77}
    kept = 0
    for _ in range(ROUNDS):
        name = rng.choice(list(files))
        write(folder / "tokenizer_config.json", dumped(plain))
        write(folder / name, dumped(damage(files[name], rng)))
        kept += survives(lambda: read_tokenizer(folder))
        if name != "tokenizer_config.json":
            (folder / name).unlink()
    assert 0 < kept < ROUNDS


def test_damaged_indices_of_shards(tmp_path):
    rng, folder = random.Random(11), tmp_path / "model" / "unet"
    save_shards(folder, tensors("a", "b"), tensors("c"))
    index = folder / f"{STEM}.safetensors.index.json"
    good = json.loads(index.read_text())
    kept = 0
    for _ in range(ROUNDS):
        write(index, dumped(damage(good, rng)))
        kept += survives(lambda: find_weights(folder, STEM))
    assert 0 < kept < ROUNDS

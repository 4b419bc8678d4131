"""Folders of the first versions of diffusers, whose components lie beside the index."""

import os

import pytest

from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.folders import STEM, save, tensors, write

FLAT = {
    "_class_name": "DDPMPipeline",
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}
FLAT_FILES = {
    "model_index.json": FLAT,
    "scheduler_config.json": {"_class_name": "DDPMScheduler"},
    "config.json": {"_class_name": "UNet2DModel", "sample_size": 32},
}


def write_flat(root):
    """As the first versions of diffusers saved models of pixels: everything beside the index."""
    for name, config in FLAT_FILES.items():
        write(root / name, config)
    save(root / f"{STEM}.safetensors", tensors("a"))
    return root


def test_components_beside_the_index(tmp_path):
    folder = read_folder(write_flat(tmp_path / "model"))
    assert sorted(folder.components) == ["scheduler", "unet"]
    unet = folder.components["unet"]
    assert (unet.folder, unet.config["sample_size"]) == (folder.root, 32)
    (found,) = find_weights(unet.folder, STEM, folder.root)
    assert found == folder.root / f"{STEM}.safetensors"


def test_such_a_folder_in_a_cache(tmp_path):
    """Its weights are links into the cache's blobs, too; links elsewhere are none."""
    plain, cache = write_flat(tmp_path / "plain"), tmp_path / "models--anyone--ddpm"
    snapshot = cache / "snapshots" / "0f1e2d"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for number, path in enumerate(sorted(plain.iterdir())):
        blob = path.rename(cache / "blobs" / f"{number:040x}")
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    folder = read_folder(snapshot)
    unet = folder.components["unet"]
    assert len(find_weights(unet.folder, STEM, folder.root)) == 1
    weights = snapshot / f"{STEM}.safetensors"
    weights.unlink()
    weights.symlink_to(save(tmp_path / "elsewhere.safetensors", tensors("a")))
    with pytest.raises(ExportError, match="link out of the folder"):
        find_weights(unet.folder, STEM, folder.root)


def test_a_folder_of_its_own_comes_before_what_lies_beside_the_index(tmp_path):
    root = write_flat(tmp_path / "model")
    write(root / "unet" / "config.json", {"sample_size": 64})
    assert read_folder(root).components["unet"].config == {"sample_size": 64}
    (root / "scheduler").write_text("no folder", encoding="utf-8")
    with pytest.raises(ExportError, match="no folder scheduler/; found a file scheduler"):
        read_folder(root)

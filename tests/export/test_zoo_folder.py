"""Zoo folders: strict configuration, safetensors only, shapes checked before anything is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from denoisert.export.sources.zoo import ZOO, ZooFolder, zoo_names
from denoisert.export.zoo import DigitsDiT
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import BundleError, DenoiseRTError, ExportError, InvalidInput
from tests.export.networks import card_of

SMALL = {"width": 16, "depth": 1, "heads": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small digits network with random weights."""
    torch.manual_seed(0)
    place = tmp_path / "model"
    place.mkdir()
    shutil.copy(ZOO / "digits" / "card.json", place)
    configure(place, "digits-dit", SMALL)
    save_file(DigitsDiT.from_config(SMALL).state_dict(), place / "weights.safetensors")
    return place


def configure(folder: Path, architecture: object, config: object) -> None:
    text = json.dumps({"architecture": architecture, "config": config})
    (folder / "config.json").write_text(text, encoding="utf-8")


def edit(folder: Path, name: str, value: torch.Tensor | None) -> None:
    """Replace or remove one tensor of the weights file."""
    tensors = load_file(folder / "weights.safetensors")
    tensors.pop(name, None)
    save_file(tensors | ({} if value is None else {name: value}), folder / "weights.safetensors")


def test_the_network_has_the_weights_of_the_file(folder: Path) -> None:
    module = ZooFolder(folder).build()
    expected = load_file(folder / "weights.safetensors")
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)
    assert module.time.frequencies[0] == 1, "buffers outside of the checkpoint are computed"


def test_the_shipped_model_is_found_by_name_and_has_a_card() -> None:
    assert "digits" in zoo_names()
    text = (ZOO / "digits" / "card.json").read_bytes()
    card = Card.from_json(text)
    (label,) = card.conditions
    assert (card.layout.parts[0].shape, label.classes, label.null) == ((1, 16, 16), 10, 10.0)
    assert (card.sampler.steps, card.network.ports[0][0].output) == (16, "velocity")
    assert json.loads(text) == card.to_dict()


def test_a_card_from_the_caller_replaces_the_folder_s(folder: Path) -> None:
    assert ZooFolder(folder, card_of()).card == card_of()


@pytest.mark.parametrize("suffix", ["bin", "pt", "pth", "ckpt", "pkl"])
def test_pickled_weights_are_refused_by_name(folder: Path, suffix: str) -> None:
    (folder / "weights.safetensors").rename(folder / f"model.{suffix}")
    with pytest.raises(ExportError, match=rf"model\.{suffix} is a pickled checkpoint"):
        ZooFolder(folder)


def test_a_pickle_beside_safetensors_is_never_opened(folder: Path) -> None:
    (folder / "model.pt").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    ZooFolder(folder).build()


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "card.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DenoiseRTError, match=name):
        ZooFolder(folder)


def test_an_unknown_architecture_is_refused_with_the_known(folder: Path) -> None:
    configure(folder, "other-net", SMALL)
    with pytest.raises(ExportError, match=r"'other-net'; this version has digits-dit"):
        ZooFolder(folder).build()


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("digits-dit", SMALL | {"layers": 3}),
        ("digits-dit", SMALL | {"width": 15}),
        ("digits-dit", SMALL | {"width": "16"}),
        ("digits-dit", [1]),
        (7, SMALL),
    ],
)
def test_a_wrong_configuration_is_refused(
    folder: Path, architecture: object, config: object
) -> None:
    configure(folder, architecture, config)
    with pytest.raises((InvalidInput, ExportError)):
        ZooFolder(folder).build()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"architecture": "digits-dit"}', "{} {}"])
def test_a_damaged_configuration_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"config\.json"):
        ZooFolder(folder).build()


def test_absurd_sizes_are_refused_before_memory_is_taken(folder: Path) -> None:
    configure(folder, "digits-dit", SMALL | {"width": 2**20, "depth": 40})
    with pytest.raises(ExportError, match="does not fit"):
        ZooFolder(folder).build()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("label.weight", None, r"missing \['label.weight'\]"),
        ("stranger", torch.zeros(2), r"unknown \['stranger'\]"),
        ("label.weight", torch.zeros(10, 16), r"label.weight is float32 \(10, 16\)"),
        ("label.weight", torch.zeros(11, 16, dtype=torch.int64), r"label.weight is int64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    folder: Path, name: str, value: torch.Tensor | None, words: str
) -> None:
    edit(folder, name, value)
    with pytest.raises(ExportError, match=words):
        ZooFolder(folder).build()


def test_a_cut_weights_file_is_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        ZooFolder(folder).build()


def test_half_precision_weights_are_widened(folder: Path) -> None:
    half = {k: v.half() for k, v in load_file(folder / "weights.safetensors").items()}
    save_file(half, folder / "weights.safetensors")
    module = ZooFolder(folder).build()
    assert {tensor.dtype for tensor in module.state_dict().values()} == {torch.float32}


def test_every_byte_of_weights_and_configuration_counts(folder: Path) -> None:
    found = {ZooFolder(folder).fingerprint()}
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[int(np.random.default_rng().integers(len(data) - 100, len(data)))] ^= 1
    path.write_bytes(data)
    found.add(ZooFolder(folder).fingerprint())
    configure(folder, "digits-dit", SMALL | {"heads": 4})
    found.add(ZooFolder(folder).fingerprint())
    assert len(found) == 3

"""A diffusers folder as a source: found by its index, known by its bytes, read without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.compile import find_source
from denoisert.export.sources import zoo
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime.errors import ExportError, InvalidInput
from tests.export.networks import ConvDenoiser, card_of


@pytest.fixture
def folder(tiny_text_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(tiny_text_folder, tmp_path / "copy"))


def edit(path: Path, **entries: object) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | entries), encoding="utf-8")


def flip(path: Path) -> None:
    """Change one bit near the end of a file, inside its tensors."""
    data = bytearray(path.read_bytes())
    data[int(np.random.default_rng().integers(len(data) - 100, len(data)))] ^= 1
    path.write_bytes(data)


CHANGES: list[Callable[[Path], object]] = [
    lambda folder: flip(folder / "unet" / "diffusion_pytorch_model.safetensors"),
    lambda folder: flip(folder / "vae" / "diffusion_pytorch_model.safetensors"),
    lambda folder: flip(folder / "text_encoder" / "model.safetensors"),
    lambda folder: edit(folder / "unet" / "config.json", flip_sin_to_cos=False),
    lambda folder: edit(folder / "vae" / "config.json", scaling_factor=0.7),
    lambda folder: edit(folder / "scheduler" / "scheduler_config.json", beta_end=0.013),
    lambda folder: edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=15),
    lambda folder: edit(folder / "tokenizer" / "vocab.json", **{"a</w>": 0, "!": 256 + 64}),
]


def test_what_decides_the_result_is_in_the_fingerprint(folder: Path) -> None:
    found = [DiffusersFolder(folder).fingerprint()]
    for change in CHANGES:
        change(folder)
        found.append(DiffusersFolder(folder).fingerprint())
    assert len(set(found)) == len(CHANGES) + 1


def test_place_and_unread_files_do_not_count(tiny_text_folder: Path, folder: Path) -> None:
    (folder / "picture.png").write_bytes(b"1")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n.")
    assert DiffusersFolder(folder).fingerprint() == DiffusersFolder(tiny_text_folder).fingerprint()


def test_an_index_makes_a_diffusers_folder(tiny_text_folder: Path) -> None:
    source = find_source(tiny_text_folder)
    assert isinstance(source, DiffusersFolder)
    assert source.card.name == "tiny"
    parts = {part.name: part for part in source.parts}
    assert set(parts) == {"text_encoder", "unet", "vae"}
    for name, part in parts.items():
        (path,) = (tiny_text_folder / name).glob("*.safetensors")
        stored = load_file(path).values()
        assert part.weight_bytes == 4 * sum(tensor.size for tensor in stored)
        assert part.copied_bytes == 0, "float32 weights stay in their file"
        assert part.activation_bytes > 0


def test_a_zoo_model_may_be_a_diffusers_folder(
    tiny_text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_text_folder, tmp_path / "painter" / "model")
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    assert zoo.zoo_names() == ["painter"]
    source = find_source("painter")
    assert isinstance(source, DiffusersFolder)
    assert source.card.name == "painter"


def test_size_and_tile_change_the_card(tiny_text_folder: Path) -> None:
    options = CompileOptions(sizes=((64, 48),), tile=(8, 4))
    card = find_source(tiny_text_folder, None, options).card
    assert card.layout.parts[0].shape == (4, 16, 12)
    assert card.autoencoder is not None
    assert card.autoencoder.tile == (8, 4)


def test_a_card_from_the_caller_replaces_the_folder_s(tiny_text_folder: Path) -> None:
    assert DiffusersFolder(tiny_text_folder, card_of()).card == card_of()


@pytest.mark.parametrize(
    "options",
    [CompileOptions(sizes=((64, 64),)), CompileOptions(tile=(4, 4))],
    ids=["sizes", "tile"],
)
@pytest.mark.parametrize("model", ["digits", ConvDenoiser()], ids=["zoo", "module"])
def test_other_models_have_one_size(model: object, options: CompileOptions, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="sizes and tile can be chosen for a diffusers folder"):
        compile_bundle(model, tmp_path / "a.bundle", card=card_of(), options=options)


def test_a_size_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 of them different: give each once"):
        CompileOptions(sizes=((8, 8), (16, 8), (8, 8)))


@pytest.mark.parametrize("pair", [(0, 8), (8, -1), (8,), (1, 2, 3)])
@pytest.mark.parametrize("name", ["size", "tile"])
def test_sizes_are_checked_when_options_are_made(name: str, pair: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=f"{name} .* must be a height and a width"):
        CompileOptions(**({"tile": pair} if name == "tile" else {"sizes": (pair,)}))


def test_the_key_needs_no_torch(tiny_text_folder: Path) -> None:
    code = (
        "import sys; from denoisert.export.compile import find_source as f; "
        f"f({str(tiny_text_folder)!r}).fingerprint(); "
        "print(sorted({'torch', 'diffusers', 'transformers', 'onnx_ir'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: shutil.rmtree(folder / "vae"), "vae"),
        (lambda folder: (folder / "unet" / "config.json").unlink(), "config.json"),
        (
            lambda folder: edit(folder / "model_index.json", unet=["os", "system"]),
            "'os', 'system'",
        ),
        (lambda folder: edit(folder / "model_index.json", _class_name="Other"), "'Other'"),
        (lambda folder: (folder / "text_encoder" / "model.safetensors").unlink(), "no weights"),
        (
            lambda folder: edit(folder / "text_encoder" / "config.json", hidden_size=64),
            "text_encoder gives 64",
        ),
    ],
)
def test_a_broken_folder_is_refused_before_torch_is_loaded(
    folder: Path, spoil: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(ExportError, match=words):
        compile_bundle(folder, tmp_path / "a.bundle")
    assert not (tmp_path / "a.bundle").exists()

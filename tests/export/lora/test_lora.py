"""A LoRA as the user names it: in Python, on the command line, as a part of what is compiled."""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from denoisert.export import CompileOptions, Lora, compile_bundle
from denoisert.export.cli import add
from denoisert.export.compile import find_source
from denoisert.export.lora.lora import read_lora
from denoisert.export.lora.record import name_with
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime.errors import ExportError, InvalidInput
from tests.export.lora.drawn import layer, saved
from tests.export.networks import ConvDenoiser, card_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return saved(tmp_path, "style", layer())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("style.safetensors", Lora("style.safetensors", 1.0)),
        ("style.safetensors:0.8", Lora("style.safetensors", 0.8)),
        ("style.safetensors:-1", Lora("style.safetensors", -1.0)),
        ("C:/style.safetensors:1e-1", Lora("C:/style.safetensors", 0.1)),
    ],
)
def test_file_and_weight_on_the_command_line(text: str, expected: Lora) -> None:
    assert read_lora(text) == expected


def test_a_file_that_has_a_colon_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:2").touch()
    assert read_lora("a:2") == Lora("a:2")
    assert read_lora("a:2:2") == Lora("a:2", 2.0)


@pytest.mark.parametrize("text", ["", ":0.5", "style:heavy", "style:nan", "style:inf", "style:"])
def test_no_file_or_no_weight(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"FILE or FILE:WEIGHT|finite"):
        read_lora(text)


@pytest.mark.parametrize("weight", [math.nan, math.inf, True, "1", None])
def test_a_weight_is_a_finite_number(weight: object) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        Lora("style.safetensors", weight)


def test_the_command_takes_several(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    words = ["compile", "model", "-o", "out"]
    assert parser.parse_args(words).lora == []
    found = parser.parse_args([*words, "--lora", "a:0.5", "--lora", "b"])
    assert found.lora == [Lora("a", 0.5), Lora("b", 1.0)]
    with pytest.raises(SystemExit):
        parser.parse_args([*words, "--lora", "a:b"])
    assert "'b' is no weight of a LoRA; write FILE or FILE:WEIGHT" in capsys.readouterr().err


def test_options_hold_loras_only() -> None:
    with pytest.raises(InvalidInput, match="Lora"):
        CompileOptions(loras=("style.safetensors",))


def test_the_name_of_a_model_tells() -> None:
    assert name_with("sd", []) == "sd"
    assert name_with("sd", [Lora("x/a.safetensors", 0.5), Lora("b")]) == "sd + a 0.5 + b 1"


def source(folder: Path, *loras: Lora) -> DiffusersFolder:
    return DiffusersFolder(folder, options=CompileOptions(loras=loras))


def test_card_and_fingerprint_know_files_and_weights(tiny_text_folder: Path, path: Path) -> None:
    found = source(tiny_text_folder, Lora(path, 0.5))
    assert found.card.name == f"{DiffusersFolder(tiny_text_folder).card.name} + style 0.5"
    moved = Path(shutil.copy(path, path.parent.parent / "style.safetensors"))
    assert source(tiny_text_folder, Lora(moved, 0.5)).fingerprint() == found.fingerprint()
    others = [source(tiny_text_folder).fingerprint(), found.fingerprint()]
    others.append(source(tiny_text_folder, Lora(path, 0.6)).fingerprint())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    others.append(source(tiny_text_folder, Lora(path, 0.5)).fingerprint())
    assert len(set(others)) == 4


def test_a_caller_s_own_card_keeps_its_name(tiny_text_folder: Path, path: Path) -> None:
    card = DiffusersFolder(tiny_text_folder).card
    found = DiffusersFolder(tiny_text_folder, card, CompileOptions(loras=(Lora(path),)))
    assert found.card == card


def test_only_folders_of_diffusers_take_them(path: Path, tmp_path: Path) -> None:
    chosen = CompileOptions(loras=(Lora(path),))
    module = ConvDenoiser()
    with pytest.raises(InvalidInput, match=r"LoRA style\.safetensors can be merged into a diff"):
        find_source(module, card_of(), chosen)
    (tmp_path / "model.onnx").touch()
    for model in ("digits", tmp_path / "model.onnx"):
        with pytest.raises(InvalidInput, match=r"LoRA style\.safetensors"):
            find_source(model, options=chosen)


def test_a_bad_file_is_refused_before_anything_is_read(
    tiny_text_folder: Path, tmp_path: Path
) -> None:
    """Nor does it take torch."""
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no header")
    code = (
        "import sys\n"
        "from denoisert.runtime.cli import main\n"
        "status = main()\n"
        "print('torch' in sys.modules)\n"
        "sys.exit(status)"
    )
    words = ["compile", tiny_text_folder, "-o", tmp_path / "out", "--lora", f"{bad}:0.5"]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "LoRA bad.safetensors" in result.stderr
    assert result.stdout.split() == ["False"]
    assert not (tmp_path / "out").exists()


def test_a_lora_for_another_model_is_refused_before_anything_is_traced(
    tiny_text_folder: Path, tmp_path: Path
) -> None:
    tensors = {"down": torch.ones(2, 64), "up": torch.ones(64, 2)}
    stem = "lora_unet_double_blocks_0_img_attn_proj"
    path = saved(tmp_path, "flux", {f"{stem}.lora_{k}.weight": v for k, v in tensors.items()})
    with pytest.raises(ExportError, match="for another model"):
        compile_bundle(
            tiny_text_folder,
            tmp_path / "out",
            options=CompileOptions(loras=(Lora(path),)),
        )
    assert not (tmp_path / "out").exists()

"""The verb `compile`: in its own process, from a zoo folder and from an ONNX file."""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from denoisert.export import Compiled
from denoisert.export.cli import add, summarise
from denoisert.export.parity import Parity
from denoisert.export.sources.zoo import ZOO
from denoisert.export.zoo import DigitsDiT
from denoisert.runtime.bundle.open import Bundle
from tests.export.foreign import VECTOR_CARD, denoiser, save

COMMAND = "import sys; from denoisert.runtime.cli import main; sys.exit(main())"
ASK_TORCH = (
    "import sys; from denoisert.runtime.cli import main; main(); print('torch' in sys.modules)"
)


def run(*words: object, code: str = COMMAND, stderr: int = subprocess.PIPE) -> tuple[int, str, str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False, timeout=250
    )
    return result.returncode, result.stdout, result.stderr or ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("zoo") / "small"
    place.mkdir()
    config = {"width": 16, "depth": 1, "heads": 2}
    text = json.dumps({"architecture": "digits-dit", "config": config})
    (place / "config.json").write_text(text, encoding="utf-8")
    (place / "card.json").write_bytes((ZOO / "digits" / "card.json").read_bytes())
    module = DigitsDiT.from_config(config)
    for parameter in module.parameters():
        if not parameter.detach().any():
            parameter.data.normal_(0.0, 0.3)
    save_file(module.state_dict(), place / "weights.safetensors")
    return place


@pytest.fixture(scope="module")
def compiled(folder: Path) -> tuple[Path, str, str]:
    """The bundle, and what the first compilation said."""
    out = folder.parent / "small.bundle"
    code, stdout, stderr = run("compile", folder, "-o", out)
    assert code == 0, stderr
    return out, stdout, stderr


def test_the_first_run_reports_phases_and_figures(compiled: tuple[Path, str, str]) -> None:
    out, stdout, stderr = compiled
    assert stderr.splitlines() == [
        f"[{n}/6] {phase}"
        for n, phase in enumerate(("load", "graph", "reference", "engines", "parity", "write"), 1)
    ]
    assert "compiled in" in stdout
    assert "parity denoiser onnxruntime velocity: relative error" in stdout
    assert "note:" not in stdout
    Bundle.open(out).verify_all()


def test_the_second_run_writes_nothing_and_needs_no_torch(
    folder: Path, compiled: tuple[Path, str, str]
) -> None:
    out = compiled[0]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    _, stdout, stderr = run("compile", folder, "-o", out, code=ASK_TORCH)
    assert stdout.splitlines()[-1] == "False"
    assert "unchanged, nothing to do" in stdout
    assert stderr == ""
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_bytes(VECTOR_CARD.to_json())
    path = save(denoiser(), tmp_path / "model.onnx")
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))  # a terminal without columns shows no bar
    code, stdout, _ = run(
        "compile", path, "--card", card, "-o", tmp_path / "a.bundle", stderr=follower
    )
    os.set_blocking(leader, False)
    shown = os.read(leader, 65536).decode()
    os.close(follower)
    os.close(leader)
    assert code == 0
    assert "compiled in" in stdout
    assert "%" in shown
    assert "[1/5]" not in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("absent",), 2, "there is no model 'absent'"),
        (("absent", "--size", "32"), 2, "there is no model 'absent'"),
        (("digits", "--card", "absent.json"), 2, "no card can be read"),
        (("digits", "--target", "abacus"), 2, "invalid choice"),
        (("digits", "--size", "16 by 16"), 2, "is no size; write 64x64 or 64"),
        (("digits", "--tile", "8x8x8"), 2, "is no size"),
        (("digits", "--size", "32x32"), 2, "can be chosen for a diffusers folder"),
    ],
)
def test_mistakes_are_one_line_and_a_code(
    tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    found, stdout, stderr = run("compile", *words, "-o", tmp_path / "a.bundle")
    assert (found, stdout) == (code, "")
    assert message in stderr
    assert "Traceback" not in stderr
    assert not list(tmp_path.iterdir())


def test_the_summary_names_notes_and_tells_a_cached_bundle() -> None:
    made = Compiled(
        Path("a.bundle"),
        "f" * 64,
        is_cached=False,
        phases_ms={"load": 1500.0, "graph": 500.0},
        parity=(Parity("denoiser", "graph", "eps", 1.25e-7),),
        notes=("look here.",),
    )
    assert summarise(made) == [
        "a.bundle: compiled in 2.0 s (id ffffffffffffffff)",
        "parity denoiser graph eps: relative error 1.2e-07",
        "note: look here.",
    ]
    cached = Compiled(Path("a.bundle"), "f" * 64, True, {}, (), ())
    assert summarise(cached) == ["a.bundle: unchanged, nothing to do (id ffffffffffffffff)"]


def test_the_verb_takes_model_card_and_targets() -> None:
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    words = ["compile", "m", "-o", "o.bundle", "--target", "onnxruntime", "--card", "c.json"]
    parsed = parser.parse_args([*words, "--size", "512x768", "--size", "64", "--tile", "32"])
    assert (parsed.model, parsed.out) == ("m", Path("o.bundle"))
    assert (parsed.target, parsed.card) == (["onnxruntime"], Path("c.json"))
    assert (parsed.size, parsed.tile) == ([(512, 768), (64, 64)], (32, 32))

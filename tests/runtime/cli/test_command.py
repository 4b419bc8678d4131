"""The command itself: help, verbs, exit codes, and what it must not import."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from denoisert.runtime.cli import main

HEAVY = "numpy PIL onnxruntime torch onnx tqdm diffusers"
COMMAND = [sys.executable, "-m", "denoisert.runtime.cli"]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        *([verb, "--help"] for verb in ("generate", "compile", "bench", "compare", "warm")),
    ],
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from denoisert.runtime.cli import main\n"
        f"try:\n    main({words!r})\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        f"print([name for name in {HEAVY!r}.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_verb_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for verb in (
        *("compile", "generate", "bench", "compare", "warm"),
        *("inspect", "verify", "doctor", "solver", "schedule", "probe"),
    ):
        assert f"\n    {verb}" in text


def test_no_verb_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: denoisert" in capsys.readouterr().err


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["generat"])
    assert stop.value.code == 2


def test_inspect_describes_the_bundle(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(digits_bundle)]) == 0
    text = capsys.readouterr().out
    for word in ("digits", "flow", "(1, 16, 16)", "classes 0 to 9", "onnxruntime", "opset 23"):
        assert word in text


def test_inspect_prints_the_manifest_as_json(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(digits_bundle), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["card"]["name"] == "digits"
    assert manifest == json.loads((digits_bundle / "manifest.json").read_text())


def test_inspect_prints_every_row_of_a_table(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--table", "--solver", "ddim(eta=1)", "--steps", "4", "--guidance", "1"]
    assert main(["inspect", str(digits_bundle), *words]) == 0
    text = capsys.readouterr().out
    assert text.count("stage ") == 4
    assert "prologue\n    R0' = 1 xi0" in text
    assert "F1" not in text
    assert "4 evaluations" in text


def test_inspect_prints_tables_of_what_starts_from_a_latent(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--table", "--solver", "inverse(solver=euler)", "--steps", "3", "--guidance", "1"]
    assert main(["inspect", str(digits_bundle), *words]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Inverse(solver=Euler(), told=Told.NEXT), ")
    assert "3 stages, 3 evaluations" in text


def test_inspect_refuses_solvers_that_do_not_fit(
    digits_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(digits_bundle), "--table", "--schedule", "leading"]) == 2
    assert "trailing" in capsys.readouterr().err.lower()


def test_verify_names_every_file(digits_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(digits_bundle)]) == 0
    text = capsys.readouterr().out
    for path in digits_bundle.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            assert str(path.relative_to(digits_bundle)) in text


def test_verify_notices_one_flipped_bit(
    digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "digits.bundle"
    shutil.copytree(digits_bundle, damaged)
    weights = next((damaged / "weights").iterdir())
    content = bytearray(weights.read_bytes())
    content[-1000] ^= 1
    weights.write_bytes(content)
    assert main(["verify", str(damaged)]) == 1
    assert weights.name in capsys.readouterr().err


def test_verify_expects_an_id(digits_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(digits_bundle), "--expect", "f" * 64]) == 1
    assert "ManifestMismatch" in capsys.readouterr().err


def test_doctor_says_that_bundles_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "bundles run here: onnxruntime on cpu" in text
    assert "numpy" in text


def test_doctor_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["packages"]["onnxruntime"]
    assert int(data["machine"]["cores"]) >= 1


def test_a_closed_pipe_is_no_error(digits_bundle: Path) -> None:
    words = " ".join([*COMMAND, "inspect", str(digits_bundle), "--table", "--steps", "400"])
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -2"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_a_terminal_gets_a_bar(digits_bundle: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ["generate", str(digits_bundle), "3", "--steps", "40", "--out", str(tmp_path)]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
    assert process.returncode == 0
    assert b"\r" in shown
    assert b"40" in shown

"""`denoisert compile` that is interrupted or killed while a compiler hangs, in real processes.

Ctrl-C goes to the whole group, as a terminal sends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from denoisert.runtime.bundle.open import Bundle
from tests.export.foreign import VECTOR_CARD, denoiser, save
from tests.export.targets.conftest import ROOT
from tests.export.targets.hanging import MODULE
from tests.export.targets.lives import wait_for, wait_until, wait_until_dead

pytestmark = pytest.mark.slow

COMMAND = ("-c", "import sys; from denoisert.runtime.cli import main; sys.exit(main())")
OPENVINO = ("--target", "openvino:float32")
BOTH = (*OPENVINO, "--target", "tensorrt-rtx")
WAIT_S = 200.0


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """What is compiled, where to, and the cache."""
    save(denoiser(), tmp_path / "model.onnx")
    (tmp_path / "card.json").write_bytes(VECTOR_CARD.to_json())
    (tmp_path / "out").mkdir()
    places = {"--card": "card.json", "-o": "out/a.bundle", "--cache": "cache"}
    named = [str(word) for name, path in places.items() for word in (name, tmp_path / path)]
    return ["compile", str(tmp_path / "model.onnx"), *named]


def start(words: list[str], *code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(words: list[str]) -> str:
    """The command as it is; what it said on standard error."""
    process = start(words, *COMMAND)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said
    return said


def ended(words: list[str], place: Path, number: signal.Signals) -> tuple[int, str]:
    """The command, sent a signal while a compiler hangs: its status, and what it said."""
    process = start([str(place), *words], "-m", MODULE)
    compiler, cache = wait_for(place), place.parent / "cache" / "built"
    wait_until(lambda: any(cache.glob("[0-9a-f]" * 64)), "an engine is kept")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=WAIT_S)
    wait_until_dead(compiler)
    place.unlink()
    return process.returncode, said


def test_a_build_that_is_ended_leaves_the_old_bundle_and_is_resumed(
    words: list[str], tmp_path: Path
) -> None:
    out, pid = tmp_path / "out" / "a.bundle", tmp_path / "compiler.pid"
    run([*words, "--target", "onnxruntime"])
    old = Bundle.open(out).manifest.id

    status, said = ended([*words, *BOTH], pid, signal.SIGINT)
    assert status == 130
    assert said.splitlines()[-1] == "denoisert: interrupted"
    assert "Traceback" not in said
    assert os.listdir(out.parent) == [out.name], "an interrupt cleans up"
    assert len(os.listdir(tmp_path / "cache" / "built")) == 1, "the engine that was done is kept"

    status, _ = ended([*words, *BOTH], pid, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert len(os.listdir(out.parent)) > 1, "the draft of a killed writer"
    Bundle.open(out, expect=old).verify_all()

    said = run([*words, *BOTH])
    assert "denoiser for tensorrt-rtx-float16" in said
    assert "denoiser for openvino" not in said, "it comes from the cache"
    assert os.listdir(out.parent) == [out.name]
    bundle = Bundle.open(out)
    bundle.verify_all()
    assert list(bundle.manifest.engines) == ["openvino", "tensorrt-rtx-float16"]

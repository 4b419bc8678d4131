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

from denoisert.export import Compiled, Progress
from denoisert.export.cli import _Display, add, summarise
from denoisert.export.parity import Parity
from denoisert.export.sources.zoo import ZOO
from denoisert.export.zoo import DigitsDiT
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.target import OnnxRuntime, OpenVino
from tests.export.foreign import VECTOR_CARD, denoiser, save

COMMAND = "import sys; from denoisert.runtime.cli import main; sys.exit(main())"
ENGINES = ("--target", "onnxruntime", "--target", "openvino:float32", "--cache")
ASK_HEAVY = (
    "import sys; from denoisert.runtime.cli import main; main(); "
    "print({'torch', 'onnx', 'onnxruntime', 'openvino'} & set(sys.modules))"
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
    code, stdout, stderr = run("compile", folder, "-o", out, *ENGINES, folder.parent / "cache")
    assert code == 0, stderr
    return out, stdout, stderr


def test_the_first_run_reports_phases_and_figures(compiled: tuple[Path, str, str]) -> None:
    out, stdout, stderr = compiled
    whole, engine, *phases = stderr.splitlines()
    assert whole.startswith("needs about ")
    assert engine.startswith("  denoiser openvino: ")
    assert phases == [
        *("[1/6] load", "[2/6] graph", "[3/6] reference", "[4/6] parity", "[5/6] engines"),
        *("[5/6] denoiser for openvino", "[6/6] write"),
    ]
    assert "compiled in" in stdout
    for graph in ("graph", "onnxruntime", "openvino"):
        assert f"parity denoiser {graph} velocity: relative error" in stdout
    assert "note:" not in stdout
    Bundle.open(out).verify_all()


def test_the_second_run_writes_nothing_and_imports_no_library(
    folder: Path, compiled: tuple[Path, str, str]
) -> None:
    out = compiled[0]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    words = ("compile", folder, "-o", out, *ENGINES, folder / "another")
    _, stdout, stderr = run(*words, code=ASK_HEAVY)
    assert stdout.splitlines()[-1] == "set()"
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
        (("digits", "--target", "abacus"), 2, "give one of onnxruntime, openvino, tensorrt-rtx"),
        (("digits", "--target", "openvino:float16"), 2, "takes bfloat16, float32, int8"),
        (("digits", "--target", "openvino", "--static", "32x32"), 2, "openvino have no profiles"),
        (("digits", "--target", "tensorrt-rtx", "--capability", "9.0"), 1, "compiles for 7.5, 8.0"),
        (("digits", "--batch", "8-4"), 2, "lanes (8, 4) must be the least and the most"),
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


def parsed_of(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    return parser.parse_args(["compile", "m", "-o", "o.bundle", *words])


def test_the_verb_takes_model_card_and_targets() -> None:
    words = ["--target", "onnxruntime", "--target", "openvino:float32", "--card", "c.json"]
    words += ["--capability", "8.9", "--memory", "0.5"]
    parsed = parsed_of(*words, "--size", "512x768", "--size", "64", "--tile", "32")
    assert (parsed.model, parsed.out) == ("m", Path("o.bundle"))
    assert parsed.target == [OnnxRuntime(), OpenVino("float32")]
    assert (parsed.card, parsed.cache) == (Path("c.json"), None)
    assert (parsed.size, parsed.tile) == ([((512, 768),), ((64, 64),)], (32, 32))
    assert (parsed.batch, parsed.static, parsed.capability) == ((1, 16), [], ["8.9"])
    assert parsed.memory == 2**29


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("64", ((64, 64),)),
        ("512x512,768x512", ((512, 512), (768, 512))),
        ("512x512,512x512:576x512", ((512, 512), (576, 512))),
        ("64:128", ((64, 64), (64, 128), (128, 64), (128, 128))),
    ],
)
def test_sizes_and_ranges_of_sizes(text: str, sizes: tuple[tuple[int, int], ...]) -> None:
    assert parsed_of("--size", text).size == [sizes]


@pytest.mark.parametrize(("text", "lanes"), [("1-8", (1, 8)), ("2", (2, 2)), ("16-16", (16, 16))])
def test_a_batch_is_a_span(text: str, lanes: tuple[int, int]) -> None:
    assert parsed_of("--batch", text).batch == lanes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "64,"), "'' is no size"),
        (("--size", "64:32"), "neither height nor width may descend"),
        (("--size", "64:"), "'' is no size"),
        (("--size", "0:64"), "must be a height and a width of at least 1"),
        (("--size", "64:8192"), "a bundle holds at most 256"),
        (("--static", "64:128"), "'64:128' is no size"),
        (("--batch", "1-"), "'1-' is no batch; write 1-8 or 2"),
        (("--batch", "-"), "is no batch"),
        (("--batch", "few"), "is no batch"),
        (("--memory", "much"), "'much' is no number of GiB"),
        (("--memory", "inf"), "'inf' is no number of GiB"),
        (("--memory", "nan"), "'nan' is no number of GiB"),
        (("--target", "onnxruntime:bfloat16"), "onnxruntime takes float32, int8, float16"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        parsed_of(*words)
    assert message in capsys.readouterr().err


def test_lines_of_a_log_are_one_for_every_phase_and_compiler(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with _Display(is_terminal=False) as display:
        for turn in range(2):
            display.show(Progress("engines", 4 + turn, 9))
            for step in range(1000):
                display.show(Progress(f"denoiser for a: phase {step} {step}/1000", 4 + turn, 9))
        display.show(Progress("decoder for a: read 0/2", 5, 9))
        display.show(Progress("done", 1, 1))
    assert capsys.readouterr().err.splitlines() == [
        "[5/9] engines",
        "[5/9] denoiser for a",
        "[6/9] engines",
        "[6/9] decoder for a",
    ]

"""`doctor` reads versions without importing anything, and says what follows from them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from denoisert.runtime.cli import doctor, main
from denoisert.runtime.cli.abilities import COMPILER, abilities
from denoisert.runtime.engines import processor as chip
from denoisert.runtime.engines.target import KINDS
from tests.runtime.engines.sets import EVERYTHING, have

WHOLE = {
    "denoisert": "0.1.0",
    "numpy": "2.4",
    "onnxscript": "0.7",
    "safetensors": "0.8",
    **EVERYTHING,
}
"""All that can be installed from the package index: not plain TensorRT."""

RICH, POOR = "avx2 avx512f avx512_vnni avx512_bf16 sse", "avx2 sse"


def lacking(*names: str) -> dict[str, str]:
    return {name: version for name, version in WHOLE.items() if name not in names}


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """A function that says which instructions the processor has."""

    def say(flags: str) -> None:
        (tmp_path / "cpuinfo").write_text(f"model name : Chip\nflags : {flags}\n\nflags : none\n")
        monkeypatch.setattr(chip, "INFO", tmp_path / "cpuinfo")

    say(RICH)
    return say


def said(capsys, *words: str) -> tuple[int, str]:
    code = main(["doctor", *words])
    return code, capsys.readouterr().out


def by_target(capsys) -> dict[str, dict[str, object]]:
    return json.loads(said(capsys, "--json")[1])["targets"]


def test_facts_are_those_of_this_machine() -> None:
    facts = doctor.machine()
    assert facts["python"] == platform.python_version()
    assert int(facts["cores"]) == len(os.sched_getaffinity(0))
    assert float(facts["memory"].removesuffix(" GiB")) > 0
    known = {*chip.OF_INTEREST, "none", "of", "interest"}
    assert set(facts["instructions"].split()) <= known
    assert facts["gpus"]


def test_a_laptop_compiles_for_gpus_and_runs_on_its_cpu(monkeypatch, capsys, processor) -> None:
    have(monkeypatch, WHOLE)
    code, text = said(capsys)
    assert code == 0
    lines = text.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("target")))
    assert [line.rstrip() for line in lines[start + 1 : start + 8]] == [
        "onnxruntime   1.32.0        cpu     yes   yes       float32, int8",
        "                            cuda    no              float32, float16",
        "openvino      2026.4.1      cpu     yes   yes       bfloat16, float32, int8",
        "tensorrt-rtx  1.7.1.116     cuda    no    yes       float16, bfloat16, float32",
        "tensorrt      -             cuda    no    no        float16, bfloat16, float32",
        "torch         2.13          cpu     yes   no need   float32, float16, bfloat16",
        "                            cuda    no              float32, float16, bfloat16",
    ]
    assert "bundles run here: onnxruntime on cpu, openvino on cpu, torch on cpu" in lines
    assert "models can be compiled here for onnxruntime, openvino, tensorrt-rtx" in lines
    assert any(
        line.startswith("tensorrt-rtx does not run on cuda: it needs an NV") for line in lines
    )
    assert any(line.startswith("torch does not run on cuda: it needs an NVIDIA") for line in lines)
    assert lines[-1].startswith("tensorrt cannot be compiled for: it needs tensorrt-cu13")


def test_a_gpu_machine_runs_what_it_has(monkeypatch, capsys, processor) -> None:
    have(monkeypatch, {**WHOLE, "tensorrt-cu13": "11.4"}, "8.9", "12.0")
    code, text = said(capsys)
    assert code == 0
    assert "gpus              compute capability 8.9, compute capability 12.0" in text
    assert "tensorrt-rtx on cuda, tensorrt on cuda, torch on cpu, torch on cuda" in text
    assert "compiled here for onnxruntime, openvino, tensorrt-rtx, tensorrt\n" in text
    assert "does not run on cpu" not in text


def test_dtypes_say_what_the_processor_lacks(monkeypatch, capsys, processor) -> None:
    have(monkeypatch, WHOLE)
    assert by_target(capsys)["openvino"]["places"][0]["without"] == {}
    processor(POOR)
    (place,) = by_target(capsys)["openvino"]["places"]
    assert place["without"] == {
        "bfloat16": "avx512_bf16 or amx_bf16",
        "int8": "avx_vnni, avx512_vnni or amx_int8",
    }
    assert place["obstacle"] == ""
    text = said(capsys)[1]
    assert "bfloat16 (the processor has no avx512_bf16 or amx_bf16), float32, int8 (the" in text
    assert "instructions      avx2\n" in text


def test_a_gpus_dtypes_do_not_depend_on_the_processor(monkeypatch, capsys, processor) -> None:
    have(monkeypatch, WHOLE, "8.9")
    processor(POOR)
    (place,) = by_target(capsys)["tensorrt-rtx"]["places"]
    assert (place["without"], place["obstacle"]) == ({}, "")


def test_every_target_has_its_row_and_its_json(monkeypatch, capsys) -> None:
    have(monkeypatch, WHOLE)
    found = by_target(capsys)
    assert list(found) == list(KINDS)
    for name, kind in KINDS.items():
        dtypes = {dtype for place in found[name]["places"] for dtype in place["dtypes"]}
        assert dtypes == set(kind.dtypes)
        assert found[name]["runs"] == any(not each["obstacle"] for each in found[name]["places"])


@pytest.mark.parametrize("missing", COMPILER)
def test_each_part_of_the_compiler_is_needed(monkeypatch, missing: str) -> None:
    have(monkeypatch, lacking(missing))
    lines = list(doctor.findings(abilities()))
    assert "models cannot be compiled here: pip install 'denoisert[export]'" in lines
    assert any(f"the compiler needs {missing}, not installed" in line for line in lines)


def test_torch_alone_runs_bundles_and_compiles_nothing(monkeypatch, capsys) -> None:
    have(monkeypatch, lacking("onnxruntime", "openvino", "tensorrt-rtx-cu13"))
    code, text = said(capsys)
    assert code == 0
    assert "bundles run here: torch on cpu\n" in text
    assert "models cannot be compiled here" in text
    assert "checks every graph with ONNX Runtime: it needs ONNX Runtime, which is not" in text


def test_without_an_engine_the_command_fails(monkeypatch, capsys) -> None:
    have(monkeypatch, {"denoisert": "0.1.0", "numpy": "2.4"})
    code, text = said(capsys)
    assert code == 1
    assert "no bundle can run here yet: pip install 'denoisert[cpu]'" in text
    assert "missing: pip install 'denoisert[cpu]'" in text
    assert "onnxruntime does not run on cpu: it needs ONNX Runtime" in text


def test_two_onnx_runtimes_are_a_problem(monkeypatch, capsys) -> None:
    have(monkeypatch, {**WHOLE, "onnxruntime-gpu": "1.31.1"})
    places = by_target(capsys)["onnxruntime"]["places"]
    assert all("overwrite each other's files" in place["obstacle"] for place in places)
    data = json.loads(said(capsys, "--json")[1])
    assert data["packages"]["onnxruntime-gpu"] == "1.31.1"
    assert data["targets"]["openvino"]["runs"]


def test_every_missing_package_has_its_line() -> None:
    for name, line in doctor.PACKAGES.items():
        assert line.startswith("pip install"), name


def test_a_system_without_cpuinfo_is_told_so(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(chip, "INFO", tmp_path / "none")
    assert chip.processor_facts() == {}
    assert chip.instructions() == ()
    assert doctor.machine()["instructions"] == "none of interest"


def test_nothing_is_imported_to_find_its_version() -> None:
    script = (
        "import sys\nfrom denoisert.runtime.cli import main\nmain(['doctor'])\n"
        "names = ('numpy', 'onnxruntime', 'torch', 'triton', 'onnx', 'safetensors', 'openvino', "
        "'tensorrt_rtx')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"

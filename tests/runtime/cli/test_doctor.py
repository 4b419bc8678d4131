"""`doctor` reads versions without importing anything, and says what follows from them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from denoisert.runtime.cli import doctor, main

EVERYTHING = dict.fromkeys(doctor.PACKAGES, "1.0")


def packages(*missing: str) -> dict[str, str | None]:
    """All packages with one ONNX Runtime, except those that are missing."""
    return {**EVERYTHING, "onnxruntime-gpu": None, **dict.fromkeys(missing)}


def test_facts_are_those_of_this_machine() -> None:
    facts = doctor.machine()
    assert facts["python"] == platform.python_version()
    assert int(facts["cores"]) == len(os.sched_getaffinity(0))
    assert float(facts["memory"].removesuffix(" GiB")) > 0
    assert set(facts["instructions"].split()) <= {*doctor.FLAGS, "none", "of", "interest"}


def test_a_complete_environment_has_no_problem() -> None:
    found = list(doctor.findings(packages()))
    assert found[0].startswith("bundles run here")
    assert found[1] == "models can be compiled here"
    assert found[2].startswith("bundles run here: target torch on the CPU")


def test_torch_alone_runs_bundles() -> None:
    found = list(doctor.findings(packages("onnxruntime", "safetensors")))
    assert found[-1].startswith("bundles run here: target torch")
    assert not any("no bundle can run" in line for line in found)
    assert doctor._runs(packages("onnxruntime"))


@pytest.mark.parametrize("missing", doctor.COMPILER)
def test_each_part_of_the_compiler_is_needed(missing: str) -> None:
    found = list(doctor.findings(packages(missing)))
    assert found[0].startswith("bundles run here")
    assert "cannot be compiled" in found[1]
    assert "denoisert[export]" in found[1]


def test_without_an_engine_the_command_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_installed", packages("onnxruntime", "torch").__getitem__)
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "no bundle can run here yet: pip install 'denoisert[cpu]'" in text
    assert "missing: pip install 'denoisert[cpu]'" in text


def test_two_onnx_runtimes_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_installed", EVERYTHING.__getitem__)
    assert main(["doctor", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["findings"][0].startswith("problem")
    assert data["packages"]["onnxruntime-gpu"] == "1.0"


def test_every_missing_package_has_its_line() -> None:
    for name, line in doctor.PACKAGES.items():
        assert line.startswith("pip install"), name


def test_nothing_is_imported_to_find_its_version() -> None:
    script = (
        "import sys\nfrom denoisert.runtime.cli import main\nmain(['doctor'])\n"
        "names = ('numpy', 'onnxruntime', 'torch', 'triton', 'onnx', 'safetensors')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"

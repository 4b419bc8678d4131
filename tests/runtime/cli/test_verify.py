"""`verify` looks at every file before it fails, whatever is wrong with the folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from denoisert.runtime.cli import main, verify


@pytest.fixture
def bundle(digits_bundle: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.bundle"
    shutil.copytree(digits_bundle, copy)
    return copy


def states(text: str) -> dict[str, str]:
    """Path -> first word of each line about a file."""
    lines = [line.split() for line in text.splitlines()]
    return {words[1]: words[0] for words in lines if words[0] in ("OK", "DAMAGED")}


def files(bundle: Path) -> list[str]:
    manifest = json.loads((bundle / "manifest.json").read_text())
    return sorted(manifest["files"])


def test_a_whole_bundle_has_a_line_per_file(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle)]) == 0
    shown = capsys.readouterr()
    assert states(shown.out) == dict.fromkeys(files(bundle), "OK")
    assert shown.err == ""


def test_every_damaged_file_is_named(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *_, last = files(bundle)
    for path in (first, last):
        content = bytearray((bundle / path).read_bytes())
        content[len(content) // 2] ^= 4
        (bundle / path).write_bytes(content)
    assert main(["verify", str(bundle)]) == 1
    shown = capsys.readouterr()
    found = states(shown.out)
    assert set(found) == set(files(bundle))
    assert {path for path, state in found.items() if state == "DAMAGED"} == {first, last}
    assert len(shown.err.splitlines()) == 1
    assert "Tampered" in shown.err


def test_a_missing_file_does_not_hide_the_others(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = files(bundle)[0]
    (bundle / gone).unlink()
    assert main(["verify", str(bundle)]) == 1
    shown = capsys.readouterr()
    assert [path for path, state in states(shown.out).items() if state == "DAMAGED"] == [gone]
    assert "missing" in shown.err


def test_an_extra_file_fails_while_all_others_are_fine(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "graphs" / "extra.onnx").write_bytes(b"")
    assert main(["verify", str(bundle)]) == 1
    shown = capsys.readouterr()
    assert set(states(shown.out).values()) == {"OK"}
    assert "extra.onnx" in shown.err


def test_a_truncated_file_is_damaged(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = files(bundle)[-1]
    os.truncate(bundle / path, 100)
    assert main(["verify", str(bundle)]) == 1
    assert states(capsys.readouterr().out)[path] == "DAMAGED"


def test_a_changed_manifest_ends_it(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"digits", b"digitz", 1))
    assert main(["verify", str(bundle)]) == 1
    shown = capsys.readouterr()
    assert states(shown.out) == {}
    assert "manifest.json" in shown.err


def test_a_pipe_in_place_of_the_manifest_does_not_hang(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    assert main(["verify", str(bundle)]) == 1
    assert "manifest.json" in capsys.readouterr().err


def test_large_bundles_show_progress_on_stderr(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "LARGE_BYTES", 1)
    assert main(["verify", str(bundle)]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == "verifying 0 %"
    assert shown.err.splitlines()[-1] == "verifying 100 %"
    assert "%" not in shown.out

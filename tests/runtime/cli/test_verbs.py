"""What other packages bring to the command, and what is said where they are missing."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from denoisert.runtime.cli import main, verbs
from denoisert.runtime.cli.verbs import CHECKS, installed_check
from denoisert.runtime.errors import ExportError


def having(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    monkeypatch.setattr(
        verbs,
        "entry_points",
        lambda group: tuple(entry for entry in entries if entry.group == group),
    )


def test_the_compiler_brings_parity():
    from denoisert.export.verification import check

    assert installed_check("parity") is check


@pytest.mark.parametrize("value", ["denoisert.export.nowhere:check", "denoisert.export:nothing"])
def test_a_check_that_cannot_be_loaded_says_what_to_install(monkeypatch, value):
    having(monkeypatch, EntryPoint("parity", value, CHECKS))
    with pytest.raises(
        ExportError, match=r"`denoisert verify --parity` .*no.* 'denoisert\[export\]'"
    ):
        installed_check("parity")


def test_without_the_compiler_parity_is_refused_before_anything_is_read(
    monkeypatch, capsys, tmp_path
):
    having(monkeypatch)
    assert main(["verify", str(tmp_path / "missing.bundle"), "--parity"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no package brings it" in shown.err
    assert "pip install 'denoisert[export]'" in shown.err


def test_without_the_compiler_files_are_verified(monkeypatch, capsys, digits_bundle):
    having(monkeypatch)
    assert main(["verify", str(digits_bundle)]) == 0
    assert "files are as bundle" in capsys.readouterr().out

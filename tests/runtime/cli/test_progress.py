"""Progress: five plain lines away from a terminal, a bar on one, always on stderr."""

from __future__ import annotations

import io
import sys

import pytest

from denoisert.runtime.cli.progress import Bar, Lines, progress


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_come_at_every_quarter_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("sampling")
    for done in range(1, 41):
        lines.report(done, 40)
        lines.report(done, 40)
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [f"sampling {p} %" for p in (0, 25, 50, 75, 100)]
    assert shown.out == ""


def test_a_quarter_is_printed_when_it_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("work")
    lines.report(24, 100)
    assert capsys.readouterr().err == "work 0 %\n"
    lines.report(25, 100)
    assert capsys.readouterr().err == "work 25 %\n"
    lines.report(99, 100)
    assert capsys.readouterr().err == "work 75 %\n"
    lines.report(100, 100)
    assert capsys.readouterr().err == "work 100 %\n"


def test_no_work_is_all_done(capsys: pytest.CaptureFixture[str]) -> None:
    Lines("work").report(0, 0)
    assert capsys.readouterr().err.splitlines() == ["work 0 %", "work 100 %"]


def test_a_stream_without_a_terminal_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("sampling", "row") as report:
        report(1, 1)
    assert capsys.readouterr().err.splitlines() == ["sampling 0 %", "sampling 100 %"]


def test_a_terminal_gets_a_bar_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("sampling", "row") as report:
        report(3, 12)
        report(12, 12)
    text = terminal.getvalue()
    assert "\r" in text
    assert "sampling: 100%" in text
    assert "12/12" in text
    assert text.endswith("\n")


def test_the_bar_is_closed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def fail() -> None:
        with progress("sampling", "row") as report:
            report(3, 12)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert terminal.getvalue().endswith("\n")


def test_bytes_have_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar("verifying", "B")
    bar.report(512 * 2**20, 1024 * 2**20)
    bar.close()
    assert "512M/1.00G" in terminal.getvalue()

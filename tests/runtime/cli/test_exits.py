"""Exit codes, one line per failure, and verbs that other packages bring."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from denoisert.runtime import cli, errors
from denoisert.runtime.cli import main, verbs


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


def run_with(monkeypatch: pytest.MonkeyPatch, run: Callable[[argparse.Namespace], Any]) -> int:
    """Exit code of a command whose only verb is `run`."""

    def build_parser() -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser()
        parser.set_defaults(func=run)
        return parser

    monkeypatch.setattr(cli, "build_parser", build_parser)
    return main([])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("wrong"), 2),
        (errors.Tampered("wrong"), 1),
        (errors.OutOfProfile("wrong"), 1),
        (errors.OutOfMemory("wrong"), 1),
        (errors.NonFinite("wrong"), 1),
        (OSError(28, "wrong"), 1),
        (PermissionError("wrong"), 1),
    ],
)
def test_an_error_is_its_name_and_message(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_with(monkeypatch, raising(error)) == code
    shown = capsys.readouterr()
    assert shown.err == f"denoisert: {type(error).__name__}: {error}\n"
    assert shown.out == ""


def test_every_error_of_ours_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 20
    for kind in kinds:
        assert run_with(monkeypatch, raising(kind("said"))) in (1, 2)
        assert capsys.readouterr().err == f"denoisert: {kind.__name__}: said\n"


def test_a_message_of_several_lines_becomes_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, raising(errors.BuildError("one\n\n  two\r\nthree"))) == 1
    assert capsys.readouterr().err == "denoisert: BuildError: one two three\n"


def test_ctrl_c_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "denoisert: interrupted\n"


@pytest.mark.parametrize(
    ("module", "extra"),
    [("onnxruntime", "cpu"), ("torch", "export"), ("onnx.helper", "export")],
)
def test_a_missing_library_names_its_extra(
    module: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_with(monkeypatch, raising(ModuleNotFoundError("gone", name=module))) == 1
    assert f"pip install 'denoisert[{extra}]'" in capsys.readouterr().err


def test_a_module_of_ours_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        run_with(monkeypatch, raising(ModuleNotFoundError("gone", name="denoisert.lost")))


def test_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, raising(ZeroDivisionError()))


@pytest.mark.parametrize(("found", "code"), [(0, 0), (1, 1), (None, 0)])
def test_a_verb_returns_its_code(
    found: int | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_with(monkeypatch, lambda _: found) == code


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("denoisert 0.")


def entries(*pairs: tuple[str, str]) -> Callable[..., list[EntryPoint]]:
    found = [EntryPoint(name, value, verbs.GROUP) for name, value in pairs]
    return lambda **_: found


def test_without_the_compiler_compile_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "entry_points", entries())
    for words in (["digits", "-o", "x.bundle"], [], ["--help"], ["a", "--card", "b", "-x"]):
        assert main(["compile", *words]) == 1
        assert "pip install 'denoisert[export]'" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["no_such_module:add", "denoisert.runtime.cli:no_such_name"])
def test_a_verb_that_cannot_be_loaded_leaves_the_others(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "entry_points", entries(("compile", value), ("other", value)))
    assert main(["doctor"]) == 0
    assert main(["other"]) == 1
    assert "no_such" in capsys.readouterr().err


def test_nobody_takes_a_verb_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = "denoisert.runtime.cli.verify:add"
    monkeypatch.setattr(verbs, "entry_points", entries(("doctor", foreign), ("verify", foreign)))
    assert main(["doctor", "--json"]) == 0
    assert "machine" in capsys.readouterr().out


def test_twice_the_same_verb_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = ("compile", "denoisert.export.cli:add")
    monkeypatch.setattr(verbs, "entry_points", entries(pair, pair))
    cli.build_parser()

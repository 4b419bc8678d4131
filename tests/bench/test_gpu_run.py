"""The unattended GPU run: phases that end alone, records that are kept, and a dry run of it all."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import rtx_engine
from bench.case import Case, Setting, Size
from bench.gpu import __main__ as gpu_run
from bench.gpu import child, phases, room, sanitize, summary
from bench.gpu.child import Ending
from bench.gpu.machine import gpu, machine
from bench.gpu.phases import Folders, Phase
from denoisert.runtime.measure.against import read
from denoisert.runtime.measure.record import Machine, Record

GPU = Machine("c", False, "2026-01-01T00:00:00+00:00", "Board 9", "1", "", 1, {})
RECORD = Record("room/a", "x", "float32", "ms", 1.0, 1.0, 1.0, (0, 1), replace(GPU, device="Chip"))


class Script(Phase):
    """A phase that runs a line of Python."""

    @property
    def command(self):
        return [sys.executable, "-c", self.arguments[0]]


def ended(text, out=Path("none"), *, left_s=60.0, limit_s=60.0, **fields):
    phase = Script("a phase", (text,), limit_s, **fields)
    return child.run(phase, left_s, out, GPU, os.environ)


def test_a_phase_ends_well_badly_or_with_nothing_done(capsys):
    assert ended("print('hello')")[1:2] == ("ok",)
    assert capsys.readouterr().out == "  hello\n"
    bad = ended("raise SystemExit(4)")
    assert (bad.state, bad.why, bad.is_failure) == ("failed", "exit 4", True)
    nothing = ended("raise SystemExit(5)", skipped=((5, "no test was selected"),))
    assert (nothing.state, nothing.why) == ("skipped", "no test was selected")
    assert not nothing.is_failure


def test_a_phase_that_cannot_run_is_skipped():
    assert ended("", left_s=0.0).why == "the run's time is over"
    assert ended("", wants="no_such_module").why == "no_such_module is not installed"


@pytest.mark.parametrize("is_test", [True, False])
def test_a_phase_out_of_time_ends_with_all_that_it_started(is_test):
    text = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    found = ended(text, limit_s=0.5, is_test=is_test)
    assert found.state == "out of time"
    assert found.seconds < 20
    assert found.is_failure == is_test


def test_records_that_a_phase_prints_are_kept_under_the_gpu(tmp_path, capsys):
    out = tmp_path / "x.jsonl"
    text = f"print('words'); print({RECORD.line()!r}); raise SystemExit(1)"
    assert ended(text, out).state == "failed"
    assert read(out) == [replace(RECORD, machine=GPU)]
    assert "words" in capsys.readouterr().out


def test_phases_are_in_time_and_in_the_order_of_importance(tmp_path):
    folders = Folders(tmp_path / "x.jsonl", tmp_path)
    for made, limit_s in ((phases.full(folders), 1300), (phases.dry(folders), 400)):
        names = [phase.name for phase in made]
        assert names[:2] == ["environment", "tests"]
        assert len(names) == len(set(names))
        assert sum(phase.limit_s for phase in made) <= limit_s
    names = [phase.name for phase in phases.full(folders)]
    until = (
        names.index("memcheck") + 1
    )  # what is aimed at fits; compiled loops come when time is left
    assert sum(phase.limit_s for phase in phases.full(folders)[:until]) <= 700
    assert names.index("loop sdxl") < names.index("loop dit compiled")


def test_tests_of_a_gpu_are_found_without_the_others():
    found = phases.gpu_tests()
    assert "tests/kernels/test_gram_kernel.py" in found
    assert "tests/kernels/test_gram.py" not in found
    assert all(Path(phases.ROOT / path).is_file() for path in found)


def test_without_a_gpu_only_a_dry_run_starts(monkeypatch, capsys):
    monkeypatch.setattr(gpu_run, "gpu", dict)
    assert gpu_run.main([]) == 2
    assert "--dry" in capsys.readouterr().out


def test_a_run_goes_on_after_a_failure_and_says_so(tmp_path, monkeypatch, capsys):
    def made(out):
        return [
            Script("first", (f"print({RECORD.line()!r})",), 30),
            Script("second", ("raise SystemExit(1)",), 30, True),
            Script("third", ("print('still here')",), 30),
        ]

    monkeypatch.setattr(gpu_run, "dry", made)
    assert gpu_run.main(["--dry", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "still here" in said
    assert "second               failed" in said
    (out,) = tmp_path.glob("*.jsonl")
    assert [record.case for record in read(out)] == ["room/a"]
    assert gpu_run.main(["--dry", "--only", "first", "--limit-s", "30"]) == 0
    assert "third" not in capsys.readouterr().out


def test_weights_lie_in_memory_where_there_is_room(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_run, "SHARED", tmp_path)
    monkeypatch.setattr(gpu_run, "ROOM", 0)
    assert gpu_run._roomy() == tmp_path
    monkeypatch.setattr(gpu_run, "ROOM", 1 << 60)
    assert gpu_run._roomy() is None


def test_the_sanitizer_knows_every_kernel_of_the_run():
    assert phases.KERNELS == sanitize.KERNELS


def test_aims_are_judged_by_the_records():
    def said(case, provider="denoisert", median=1.0, unit="ms", **extra):
        return replace(RECORD, case=case, provider=provider, median=median, unit=unit, extra=extra)

    step = "gpu/kernels step euler cfg 4838400 x 1"
    records = [
        said(step, bytes=77e6, percent_of_copy=84.0, launches_a_call=1.0),
        said(step, "torch", bytes=77e6, percent_of_copy=20.0, launches_a_call=6.0),
        said("gpu/kernels step euler cfg 16384 x 1", bytes=3e5, percent_of_copy=9.0),
        said("loop/sd15 a", tick_to_forward=1.01),
        said("loop/few a", median=2.0, tick_to_forward=1.5),
        said("loop/few a", "torch.compile", median=5.0),
        said("loop/few a", "denoisert eager", captured_equals_eager="false"),
        said("loop/seed a", median=2e-6, unit="relative"),
    ]
    found = [(value, is_kept) for _, value, _, is_kept in summary.aims(records)]
    assert found == [
        *((84.0, False), (1.0, True), (1.01, True), (2e-6, True)),
        *((2.5, True), (0.0, False)),
    ]
    text = [*summary.judged(records), *summary.loops(records)]
    assert sum(line.startswith("MISSED") for line in text) == 2
    assert sum("few a" in line and " ms, " in line for line in text) == 3


def test_a_gpu_gives_the_machine_its_name(monkeypatch):
    here = machine()
    fields = dict.fromkeys(("clocks.sm", "clocks.max.sm", "clocks.mem"), "100 MHz")
    found = {"name": "Board 9", "driver_version": "550.1", **fields}
    monkeypatch.setattr("bench.gpu.machine.gpu", lambda: found)
    board = machine()
    assert (board.device, board.driver) == ("Board 9", "NVIDIA 550.1")
    assert board.cores == here.cores


@pytest.mark.skipif(bool(gpu()), reason="there is a GPU")
def test_no_gpu_is_no_error():
    assert gpu() == {}


def test_sanitizer_that_is_absent_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sanitize, "sanitizer", lambda: None)
    assert sanitize.main(["philox", "--tool", "memcheck"]) == sanitize.ABSENT
    assert "skipped" in capsys.readouterr().out


def test_room_goes_on_after_what_cannot_be_imported_or_fails(tmp_path, monkeypatch, capsys):
    assert room.modules(["loop/bench_few", "kernels"])[:2] == [
        "bench.loop.bench_few",
        "bench.kernels.bench_gram",
    ]
    assert list(room.cases("bench.no_such_file", Size.TINY)) == []
    assert "skipped bench.no_such_file" in capsys.readouterr().out

    def failing(name, setting):
        raise RuntimeError("planted")
        yield

    cases = [Case("room/b", failing), Case("room/a", lambda name, setting: iter([RECORD]))]
    monkeypatch.setattr(room, "cases", lambda module, size: iter(cases))
    out = tmp_path / "x.jsonl"
    assert room.main(["loop/bench_few", "--out", str(out)]) == room.FAILED
    said = capsys.readouterr().out
    assert "room/b failed: planted" in said
    assert "test_gpu_run.py" in said  # where it was raised
    assert read(out) == [RECORD]
    assert room.main(["loop/bench_few", "--cases", "room/a", "--out", str(out)]) == 0


def test_room_chooses_providers_by_their_beginning():
    runs = dict.fromkeys(("eager", "torch.compile", "torch.compile reduce"), print)
    setting = room.Chosen(Size.TINY, GPU, Path())
    assert [*setting.chosen(runs)] == [*runs]
    assert [*replace(setting, without=("torch.compile",)).chosen(runs)] == ["eager"]
    assert len(replace(setting, only=("torch.compile",)).chosen(runs)) == 2
    assert isinstance(setting, Setting)


def test_ending_is_a_line():
    line = gpu_run._said(Ending(Phase("loop", (), 1.0), "ok", 2.0))
    assert line.split() == ["loop", "ok", "2.0", "s"]


@pytest.mark.parametrize("mode", ["build", "run"])
def test_rtx_says_when_it_is_not_installed(mode, monkeypatch, capsys):
    monkeypatch.setattr(rtx_engine.importlib.util, "find_spec", lambda name: None)
    assert rtx_engine.main([mode]) == 0
    record = Record.from_line(capsys.readouterr().out, "output")
    assert record.extra == {"answer": "tensorrt_rtx not installed"}
    assert record.case == f"rtx/{mode} dit-tiny"


def test_rtx_builds_an_engine_without_a_gpu(tmp_path, capsys):
    pytest.importorskip("tensorrt_rtx", reason="wants the package tensorrt-rtx-cu13")
    assert rtx_engine.main(["build", "--folder", str(tmp_path)]) == 0
    built = Record.from_line(capsys.readouterr().out.splitlines()[-1], "output")
    assert built.extra["answer"] == "built"
    assert rtx_engine.main(["run", "--folder", str(tmp_path)]) == 0


@pytest.mark.slow
def test_dry_run_goes_through_every_phase(tmp_path, capsys):
    assert gpu_run.main(["--dry", "--out", str(tmp_path)]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out.rsplit("== phases", 1)[1]
    names = [phase.name for phase in phases.dry(Folders(tmp_path, tmp_path))]
    assert all(f"\n{name:20} ok" in said for name in names), said
    (out,) = tmp_path.glob("*.jsonl")
    rooms = {record.case.split("/")[0] for record in read(out)}
    assert rooms == {"gpu", "loop", "rtx"}

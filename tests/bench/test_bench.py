"""Every benchmark runs at its smallest size, and what it says can be read, shown and compared."""

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bench import compare, report
from bench.__main__ import main
from bench.case import Case, Setting, Size, summary, timed
from bench.run import compiled, every_case, here, measured, readable, slug
from bench.runtime import torch_loop
from bench.runtime.same_noise import same_noise_pictures
from denoisert.runtime import Runtime
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure import against
from denoisert.runtime.measure.record import Machine, Record

ROOT = Path(__file__).parents[2]
TINY = {case.name: case for case in every_case(Size.TINY)}
# Processes of their own; networks that a compiler traces for seconds, and a dry GPU run has, too.
TAKES_LONG = ("runtime/import", "runtime/cold", "loop/dit", "loop/sd15", "loop/sdxl")
MACHINE = Machine("c" * 40, False, "2026-01-01T00:00:00+00:00", "Chip 9", "6.1", "", 2, {"a": "1"})
RECORD = Record("room/noun 8", "denoisert", "float32", "ms", 2.0, 1.5, 2.5, (1, 9), MACHINE)


@pytest.fixture(scope="module")
def setting(digits_bundle, tmp_path_factory):
    """On a copy of the digits, so that `compiled` finds the same bundle and leaves it."""
    copy = tmp_path_factory.mktemp("bench") / "digits.bundle"
    bundle = compiled(shutil.copytree(digits_bundle, copy))
    # One thread: on a machine that is shared, two of them wait for each other.
    return Setting(Size.TINY, replace(here(), cores=1), bundle)


def later(record, **changes):
    return replace(
        record, machine=replace(record.machine, date="2026-02-01T00:00:00+00:00"), **changes
    )


def check_records(case, setting, tmp_path):
    out = tmp_path / "new" / "records.jsonl"
    records = measured([case], setting, out)
    assert against.read(out) == records
    assert "denoisert" in " ".join(record.provider for record in records)
    for record in records:
        assert record.case == case.name
        assert record.machine == setting.machine
        assert record.p10 <= record.median <= record.p90
        assert np.isfinite(record.median)
        assert record.repeats[1] >= 1
        assert "load_average" in record.extra
    return records


@pytest.mark.parametrize("name", [name for name in TINY if not name.startswith(TAKES_LONG)])
def test_every_case_runs(name, setting, tmp_path, capsys):
    records = check_records(TINY[name], setting, tmp_path)
    assert capsys.readouterr().out.splitlines() == [readable(record) for record in records]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name.startswith(TAKES_LONG)])
def test_every_case_that_takes_long_runs(name, setting, tmp_path):
    check_records(TINY[name], setting, tmp_path)


def test_full_cases_have_different_names_and_cover_every_file():
    names = [case.name for case in every_case(Size.FULL)]
    assert len(names) == len(set(names)) >= 2 * 6 + 5 * 4 + 5 * 2
    for path in (ROOT / "bench").glob("*/bench_*.py"):
        noun = path.stem.removeprefix("bench_")
        assert any(name.startswith(f"{path.parent.name}/{noun}") for name in names), path.name
        assert len(path.read_text().splitlines()) <= 100, path.name


# torch and diffusers compute in float32 in their own order: sums of a few terms of size 4.
@pytest.mark.parametrize("elements", [256, 16384])
def test_providers_of_the_step_compute_the_same(elements):
    runs = import_module("bench.kernels.bench_step").providers(elements)
    found = {name: run() for name, run in runs.items()}
    ours = found.pop("denoisert")[0][0].copy()
    assert np.ptp(ours) > 1
    for name, values in found.items():
        other = values[0][0] if name == "reference" else values.numpy()
        np.testing.assert_allclose(ours, other, atol=2e-6, err_msg=name)


def test_providers_of_the_rule_compute_the_same():
    runs = import_module("bench.kernels.bench_rule").providers(4096)
    ours = runs["denoisert"]().copy()
    np.testing.assert_allclose(ours, runs["reference"](), atol=2e-5)
    np.testing.assert_allclose(ours, runs["diffusers"]().numpy()[0], atol=2e-5)


@pytest.mark.parametrize("op", ["quantile", "gram", "lanes", "philox"])
def test_reference_and_cpu_are_asked_the_same(op):
    module = import_module(f"bench.kernels.bench_{op}")
    calls = module.providers(512)
    ours, truth = calls["denoisert"], calls["reference"]()
    result = ours()
    if result is None:  # it wrote into the buffers that its call closed over
        closed = [cell.cell_contents for cell in ours.__closure__]
        names = dict(zip(ours.__code__.co_freevars, closed, strict=True))
        result = names["out"]
    both = [each if isinstance(each, tuple) else (each,) for each in (result, truth)]
    for one, other in zip(*both, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_all_samplers_make_the_same_digits_from_the_same_noise(setting):
    with Runtime.open(setting.bundle, threads=1) as runtime:
        pictures = same_noise_pictures(runtime, torch_loop.load(1), 3)
    assert pictures["torch"].shape == (3, 1, 16, 16)
    assert pictures["torch"].std() > 0.3
    for name, values in pictures.items():
        # DESIGN.md, section 8: engine equals eager at 1e-4; measured 5e-7.
        np.testing.assert_allclose(values, pictures["torch"], atol=1e-4, err_msg=name)


def test_timed_takes_turns_and_counts_rounds():
    seen = []
    runs = {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}
    setting = Setting(Size.TINY, MACHINE, Path())
    times = timed(runs, setting, rounds=(1, 3))
    assert seen == ["a", "b"] * 4
    assert [len(times[name]) for name in "ab"] == [3, 3]
    assert list(timed(runs, replace(setting, provider="b"))) == ["b"]


def test_summary_holds_percentiles_and_the_machine():
    setting = Setting(Size.FULL, MACHINE, Path())
    record = summary("room/x", "denoisert", [3.0, 1.0, 2.0], setting, extra={"bytes": 8})
    assert (record.median, record.p10, record.p90) == pytest.approx((2.0, 1.2, 2.8))
    assert record.repeats == (Size.FULL.rounds[0], 3)
    assert record.extra["bytes"] == 8


def test_command_lists_writes_and_refuses(setting, tmp_path, capsys):
    out = tmp_path / "one.jsonl"
    options = ["--tiny", "--bundle", str(setting.bundle)]
    assert main(["--list", "--tiny"]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == list(TINY)
    assert main([*options, "kernels/step", "--provider", "torch", "--out", str(out)]) == 0
    assert {record.provider for record in against.read(out)} == {"torch"}
    assert main([*options, "no such case"]) == 2


def test_tiny_run_leaves_no_results(setting):
    results = ROOT / "bench" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.glob("*")}
    assert main(["--tiny", "--bundle", str(setting.bundle), "kernels/quantile"]) == 0
    assert {path: path.stat().st_mtime_ns for path in results.glob("*")} == before


def test_record_survives_its_line(tmp_path):
    record = replace(RECORD, extra={"gb_per_s": 1.5, "note": "x"})
    path = tmp_path / "x.jsonl"
    path.write_text(record.line() + "\n\n" + later(record).line() + "\n")
    assert against.read(path) == [record, later(record)]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"repeats": 3}', '{"case": "a"}'])
def test_a_line_that_is_no_record_is_refused(line, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(RECORD.line() + "\n" + line + "\n")
    with pytest.raises(InvalidInput, match="line 2 is no record"):
        against.read(path)


def test_a_record_with_a_missing_field_is_refused(tmp_path):
    data = json.loads(RECORD.line())
    del data["machine"]["device"]
    (tmp_path / "x.jsonl").write_text(json.dumps(data))
    with pytest.raises(InvalidInput, match="device"):
        against.read(tmp_path / "x.jsonl")


def test_planted_regression_is_seen(tmp_path, capsys):
    slow = later(RECORD, median=2.0 * against.TOLERANCE * 1.01)
    found = against.regressions([RECORD], [slow])
    assert [(each.case, each.old, each.new) for each in found] == [(RECORD.case, 2.0, slow.median)]
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text(RECORD.line())
    new.write_text(slow.line())
    assert compare.main([str(old), str(new)]) == 1
    assert "room/noun 8 (denoisert): 2 -> 2.525, 1.26 times" in capsys.readouterr().out
    assert compare.main([str(new), str(old)]) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"median": 2.0 * against.TOLERANCE},
        {"median": 9.0, "case": "room/other"},
        {"median": 9.0, "unit": "%"},
        {"median": 9.0, "dtype": "float16"},
        {"median": 9.0, "machine": replace(MACHINE, device="Chip 10")},
        {"median": 9.0, "machine": replace(MACHINE, cores=1)},
    ],
)
def test_what_is_no_regression(changes):
    assert against.regressions([RECORD], [replace(RECORD, **changes)]) == []


def test_a_slower_competitor_is_no_regression():
    torch = replace(RECORD, provider="torch")
    assert against.regressions([torch], [replace(torch, median=9.0)]) == []


def test_the_latest_record_counts_whatever_its_place():
    new = later(RECORD, median=7.0)
    assert list(against.latest([new, RECORD]).values()) == [new]


def test_report_shows_every_provider_device_and_loss(tmp_path):
    faster = replace(RECORD, provider="torch", median=1.0, extra={"gb_per_s": 3.0})
    other = replace(RECORD, machine=replace(MACHINE, device="Chip 10", is_dirty=True))
    (tmp_path / "x.jsonl").write_text("\n".join(r.line() for r in (faster, RECORD, other)))
    out = tmp_path / "benchmarks.md"
    report.main([str(tmp_path / "x.jsonl"), "--out", str(out)])
    text = out.read_text()
    assert "python -m bench.report bench/results/x.jsonl" in text
    assert "## Chip 9, 2 cores" in text
    assert "## Chip 10, 2 cores" in text
    assert "with uncommitted changes" in text
    assert "| noun 8 | denoisert | 2 ms | 1.5 .. 2.5 |  |  |" in text
    assert "| noun 8 | torch | 1 ms | 1.5 .. 2.5 | 0.50 | 3 |" in text
    assert str(tmp_path) not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    tables = [rows[:3], rows[3:]]  # Chip 10 comes first
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


@pytest.mark.parametrize(("median", "says"), [(0.5, "0.25, yes"), (1.5, "0.75, **no**")])
def test_report_says_whether_an_aim_is_met(tmp_path, median, says):
    aimed = replace(RECORD, extra={"aim_share": 0.5})
    ours = [replace(aimed, median=median), replace(aimed, provider="denoisert rows", median=0.1)]
    theirs = replace(aimed, provider="diffusers", median=2.0)
    (tmp_path / "x.jsonl").write_text("\n".join(each.line() for each in (*ours, theirs)))
    report.main([str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "b.md")])
    text = (tmp_path / "b.md").read_text()
    assert "| aim share | aim met |" in text
    assert f"|  | 0.5 | {says} |" in text
    assert "| 0.5 | 0.05, yes |" in text
    assert text.count("yes |") + text.count("**no** |") == 2
    for column in ("Aim share", "Aim met", "denoisert rows", "Noise us"):
        assert f"*{column}*" in text


def test_committed_records_and_their_document_belong_together(tmp_path):
    files = sorted((ROOT / "bench" / "results").glob("*.jsonl"))
    for path in files:
        assert against.read(path)
        assert path.name.startswith(slug(against.read(path)[0].machine.device))
    document = ROOT / "docs" / "benchmarks.md"
    assert files, "run `make bench`"
    command = document.read_text().split("`")[1]
    named = [ROOT / name for name in command.split()[3:]]
    out = tmp_path / "again.md"
    report.main([*map(str, named), "--out", str(out)])
    assert out.read_text() == document.read_text()


def test_slug_is_part_of_a_file_name():
    assert slug("AMD EPYC(tm) 7B13, 64-Core") == "amd-epyc-tm-7b13-64-core"
    assert slug("") == "unknown"


def test_a_case_knows_its_name():
    case = Case("room/a", lambda name, setting: iter([replace(RECORD, case=name)]))
    assert [record.case for record in case.records(Setting(Size.TINY, MACHINE, Path()))] == [
        "room/a"
    ]

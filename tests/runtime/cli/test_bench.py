"""`denoisert bench` through `main`, on the small bundle that the repository keeps."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep
from xml.etree import ElementTree

import pytest

from denoisert.runtime.cli import main
from denoisert.runtime.measure.against import read
from denoisert.runtime.measure.summary import number

STORED = Path(__file__).parents[2] / "data" / "format-1.bundle"
SHORT = ["--duration", "0.2", "--threads", "1"]


def bench(*words):
    return main(["bench", str(STORED), *map(str, words)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every file of one run: two closed loops, an open one by share and one by rate."""
    folder = tmp_path_factory.mktemp("bench")
    files = {name: folder / f"{name}.{name}" for name in ("jsonl", "svg", "json")}
    places = ["--out", files["jsonl"], "--svg", files["svg"], "--trace", files["json"]]
    assert bench(*SHORT, "--concurrency", "1,4", "--rate", "0.5x,30", *places) == 0
    return files


def test_every_step_and_load_is_a_record(written):
    records = read(written["jsonl"])
    assert [record.case.removeprefix("load/tiny ") for record in records] == [
        "open",
        "first request, cold",
        "warm",
        "closed loop, 1 client",
        "closed loop, 4 clients",
        "open loop, 0.5x",
        "open loop, 30 requests/s",
    ]
    assert all(record.median > 0 for record in records)
    for record in records[3:]:
        assert number(record, "done") == number(record, "sent") > 0
        assert number(record, "threads") == 1
        assert number(record, "phase_ticks") >= number(record, "phase_engine") > 0
        assert 0 < number(record, "submit_share") < number(record, "client_share") < 1
    best = max(number(record, "requests_per_s") for record in records[3:5])
    assert number(records[5], "offered_per_s") == pytest.approx(0.5 * best)
    assert number(records[6], "offered_per_s") == 30.0


def test_the_figure_and_the_trace_are_written(written):
    assert ElementTree.parse(written["svg"]).getroot().tag.endswith("svg")
    events = json.loads(written["json"].read_text())["traceEvents"]
    groups = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert groups == {"requests", "slots", "workers"}
    requests = [e for e in events if e["name"] == "thread_name" and "request" in e["args"]["name"]]
    sent = sum(number(record, "sent") for record in read(written["jsonl"]))
    assert len(requests) == sent + 1  # the cold one


def test_numbers_of_requests_go_on_from_load_to_load(written):
    records = read(written["jsonl"])[3:]
    before = 1.0
    for record in records:
        assert record.repeats[0] == before
        before += number(record, "sent")


def test_a_rate_in_requests_per_second_needs_no_closed_loop(capsys):
    assert bench(*SHORT, "--rate", "20") == 0
    text = capsys.readouterr().out
    assert "=== load/tiny open loop, 20 requests/s, 0.2 s ===" in text
    assert "closed loop" not in text


def test_the_text_names_bundle_device_and_mix(capsys):
    assert bench(*SHORT, "--concurrency", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bundle   tiny e9a1f37b")
    assert "1 threads" not in lines[1]
    assert lines[1].startswith("device   ")
    assert lines[2].startswith("mix      default ")
    assert "threads 1, slots 8, queue 64" in lines[2]


def test_a_mix_file_is_asked_for(tmp_path, capsys):
    mix = tmp_path / "two.json"
    mix.write_text('{"settings": [{"conditions": ["some"], "images": 2, "steps": 2}]}')
    out = tmp_path / "a.jsonl"
    assert bench(*SHORT, "--concurrency", "1", "--mix", mix, "--out", out) == 0
    record = read(out)[-1]
    assert str(record.extra["mix"]).startswith("two ")
    assert number(record, "pictures_per_s") == pytest.approx(2 * number(record, "requests_per_s"))


def test_a_full_queue_refuses(tmp_path):
    out = tmp_path / "a.jsonl"
    words = ["--rate", "3000", "--queue", "1", "--slots", "1", "--out", out]
    assert bench(*SHORT, *words) == 0
    record = read(out)[-1]
    assert number(record, "refused") > number(record, "done") > 0
    assert number(record, "refusal_max") > 0


def test_a_deadline_for_every_request(tmp_path):
    out = tmp_path / "a.jsonl"
    words = ["--rate", "2000", "--deadline", "0.001", "--slots", "1", "--out", out]
    assert bench(*SHORT, *words) == 0
    record = read(out)[-1]
    assert number(record, "expired") > 0
    assert number(record, "failed") == 0


def test_against_prints_ratios_and_judges_only_the_same_device(tmp_path, written, capsys):
    records = read(written["jsonl"])
    cases = [record for record in records if "1 client" in record.case]

    def against(**changes):
        stored = tmp_path / "stored.jsonl"
        stored.write_text("".join(f"{replace(each, **changes).line()}\n" for each in cases))
        code = bench(*SHORT, "--concurrency", "1", "--against", stored)
        return code, [line for line in capsys.readouterr().out.splitlines() if "against" in line]

    code, (line,) = against(median=1e-6)
    assert code == 1
    assert line.endswith("SLOWER")
    assert "load/tiny closed loop, 1 client (denoisert): 1e-06 ->" in line
    code, (line,) = against(median=1e9, extra={**cases[0].extra, "requests_per_s": 1e-6})
    assert (code, line.endswith("faster")) == (0, True)
    elsewhere = replace(cases[0].machine, device="Chip 9")
    code, (line,) = against(median=1e-6, machine=elsewhere)
    assert (code, "not judged: then on Chip 9" in line) == (0, True)
    code, (line,) = against(case="load/other")
    assert (code, "no case of the stored records" in line) == (0, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--duration", "0"], "--duration"),
        (["--duration", "nan"], "--duration"),
        (["--concurrency", "0"], "--concurrency"),
        (["--rate", "fast"], "--rate"),
        (["--out", "a.json"], ".jsonl"),
        (["--svg", "a.png"], ".svg"),
        (["--trace", "missing/a.json"], "--trace"),
        (["--out", STORED / "a.jsonl"], "lies in the bundle"),
        (["--slots", "0"], "slots"),
        (["--queue", "0"], "queue"),
        (["--threads", "0"], "threads"),
        (["--expect", "f" * 64], "asked for bundle"),
        (["--deadline", "-1"], "deadline_s"),
        (["--against", "missing.jsonl"], "missing.jsonl"),
        (["--mix", "missing.json"], "missing.json"),
    ],
)
def test_what_cannot_be_meant_is_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert bench(*words) in (1, 2)
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert says in error
    assert not list(tmp_path.iterdir())


def test_a_text_model_has_text_and_decode_phases(text_bundle, tmp_path):
    out, trace = tmp_path / "a.jsonl", tmp_path / "t.json"
    mix = tmp_path / "m.json"
    mix.write_text('{"settings": [{"conditions": ["a cat", "rain", "7"], "steps": 2}]}')
    words = ["--concurrency", "2", "--mix", mix, "--out", out, "--trace", trace]
    assert main(["bench", str(text_bundle), *SHORT, *map(str, words)]) == 0
    record = read(out)[-1]
    assert number(record, "phase_decode") > 0
    assert number(record, "failed") == 0
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["name"] for event in events if event["ph"] == "X"}
    assert {"plan", "text", "queue", "ticks", "decode", "tick", "engine", "step"} <= names


def heed_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_it_at_once(tmp_path):
    words = ["bench", str(STORED), "--duration", "600", "--rate", "200", "--threads", "1"]
    command = [sys.executable, "-m", "denoisert.runtime.cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A suite that runs in the background inherits an ignored SIGINT; a terminal's user does not.
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed_ctrl_c, **pipes) as process:
        while "warm:" not in process.stdout.readline():
            assert process.poll() is None
        sleep(0.2)  # the load has begun
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "denoisert: interrupted\n"
    assert not list(tmp_path.iterdir())


def test_a_mix_that_the_model_cannot_honour_is_refused_before_any_load(tmp_path, capsys):
    mix = tmp_path / "m.json"
    mix.write_text('{"settings": [{"conditions": ["some"]}, {"conditions": ["cow"]}]}')
    assert bench(*SHORT, "--mix", mix) == 2
    captured = capsys.readouterr()
    assert "cow" in captured.err
    assert "===" not in captured.out

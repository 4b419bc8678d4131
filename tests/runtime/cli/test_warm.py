"""`denoisert warm` through `main`, and what plans then say."""

import json

import pytest

from denoisert.runtime import CFG, OnnxRuntime, Request, Runtime
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import main
from denoisert.runtime.measure.estimate import Basis
from denoisert.runtime.measure.profile import Profile, ProfileKey
from tests.runtime.cli.test_bench import STORED


def warm(*words):
    return main(["warm", str(STORED), "--threads", "1", *map(str, words)])


def test_times_are_kept_and_printed(tmp_path, capsys):
    assert warm("--cache", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    key = ProfileKey.of(Bundle.open(STORED).id, OnnxRuntime(), 1)
    times = Profile.read(tmp_path, key).times("denoiser")
    assert list(times) == list(range(1, 17))
    assert min(times.values()) > 0
    assert lines[0].endswith("1 threads, onnxruntime")
    assert lines[1].startswith("denoiser           1 lanes")
    assert lines[-1] == f"wrote    {key.path(tmp_path)}"


def test_json_has_every_time(tmp_path, capsys):
    assert warm("--cache", tmp_path, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert list(data["ms"]) == ["denoiser"]
    assert set(data["ms"]["denoiser"]) == {str(lanes) for lanes in range(1, 17)}


def test_plans_say_measured_afterwards(tmp_path):
    request = Request(1, steps=3)
    with Runtime.open(STORED, threads=1, cache=tmp_path) as runtime:
        assert runtime.plan(request).time.basis is Basis.UNKNOWN
    assert warm("--cache", tmp_path) == 0
    with Runtime.open(STORED, threads=1, cache=tmp_path) as runtime:
        time = runtime.plan(request).time
        twice = runtime.plan(Request(1, steps=6)).time
    assert time.basis is Basis.MEASURED
    assert twice.seconds == pytest.approx(2 * time.seconds)
    with Runtime.open(STORED, threads=2, cache=tmp_path) as runtime:
        assert runtime.plan(request).time.basis is Basis.UNKNOWN


def test_every_component_of_a_text_model_is_measured(text_bundle, tmp_path, capsys):
    words = ["--threads", "1", "--seconds", "0", "--lanes", "1,4"]
    words += ["--cache", str(tmp_path), "--json"]
    assert main(["warm", str(text_bundle), *words]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data["ms"]) == {"denoiser", "text_encoder", "decoder", "encoder"}
    request = Request("a cat", steps=4, images=2)
    with Runtime.open(text_bundle, threads=1, cache=tmp_path) as runtime:
        time = runtime.plan(request).time
        less = runtime.plan(Request("a cat", steps=2, images=2)).time
    assert set(data["ms"]["decoder"]) == {"1", "4"}
    assert time.basis is Basis.MODELLED  # two pictures are decoded
    assert 0 < less.seconds < time.seconds


def test_lanes_that_were_left_out_are_modelled(tmp_path):
    assert warm("--cache", tmp_path, "--lanes", "1,8") == 0
    with Runtime.open(STORED, threads=1, cache=tmp_path) as runtime:
        alone = runtime.plan(Request(1, guidance=CFG(1.0))).time
        pair = runtime.plan(Request(1, guidance=CFG(2.0))).time
    assert (alone.basis, pair.basis) == (Basis.MEASURED, Basis.MODELLED)


def test_the_users_cache_is_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert warm() == 0
    assert len(list((tmp_path / "denoisert" / "profiles").iterdir())) == 1
    capsys.readouterr()
    words = ["generate", str(STORED), "1", "--threads", "1", "--plan"]
    assert main([*words, "--grid", str(tmp_path / "g.png")]) == 0
    assert "(measured)" in capsys.readouterr().out


def test_a_damaged_profile_is_measured_anew_and_passed_over_until_then(tmp_path):
    assert warm("--cache", tmp_path) == 0
    (path,) = (tmp_path / "profiles").iterdir()
    path.write_text("{")
    with Runtime.open(STORED, threads=1, cache=tmp_path) as runtime:
        plan = runtime.plan(Request(1))
    assert plan.time.basis is Basis.UNKNOWN
    assert any("device profile was passed over" in note for note in plan.notes)
    assert warm("--cache", tmp_path) == 0
    with Runtime.open(STORED, threads=1, cache=tmp_path) as runtime:
        assert runtime.plan(Request(1)).time.basis is Basis.MEASURED


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--threads", "0"], 2),
        (["--lanes", "1,x"], 2),
        (["--lanes", "0"], 2),
        (["--expect", "f" * 64], 1),
    ],
)
def test_what_cannot_be_meant_is_one_line(words, code, tmp_path, capsys):
    assert warm("--cache", tmp_path / "new", *words) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert warm("--cache", tmp_path / "file") == 1
    assert "denoisert: " in capsys.readouterr().err

"""`denoisert solver compare` through `main`."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from denoisert.runtime import Request, Runtime
from denoisert.runtime.cli import main, subjects
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.solvers import DDIM, Euler, FlowHeun
from tests.runtime.cli.test_bench import STORED

FEW = ["--evaluations", "4,8", "--samples", "8", "--reference", "60"]


def compare(*words):
    return main(["solver", "compare", *map(str, words)])


def rows(text):
    """Lines of the table by (solver, evaluations)."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 6 and words[1].isdecimal():
            found[words[0], int(words[2])] = words
    return found


def test_an_oracle_is_compared_without_a_bundle(tmp_path, capsys):
    out, data = tmp_path / "e.svg", tmp_path / "e.json"
    words = ["--solver", "euler", "--solver", "heun", "--solver", "ddim(eta=1.0)"]
    assert compare(*words, *FEW, "--out", out, "--json", data) == 0
    text = capsys.readouterr().out
    assert "oracle     mixture, 8 points of 2, Linear(" in text
    assert "the probability flow, 60 steps" in text
    found = rows(text)
    assert set(found) == {
        ("euler", 4),
        ("euler", 8),
        ("heun", 3),
        ("heun", 7),
        ("ddim(eta=1.0)*", 4),
        ("ddim(eta=1.0)*", 8),
    }
    written = json.loads(data.read_text())
    assert written["skipped"] == []
    by_name = {(each["solver"], each["evaluations"]): each for each in written["outcomes"]}
    for (name, evaluations), line in found.items():
        each = by_name[name.rstrip("*"), evaluations]
        assert line[4:] == [f"{each['rms']:.2e}", f"{each['distance']:.2e}"]
        assert each["is_random"] == name.endswith("*")
    drawn = [each.text for each in ElementTree.parse(out).iter() if each.text]
    assert any(each.startswith("heun  ") for each in drawn)
    assert written["notes"][0] in " ".join(drawn)
    assert not any(each.startswith("ddim") for each in drawn)
    assert drawn[-1].startswith("left out: solvers that draw noise")


def test_the_best_at_each_cost_are_ranked(capsys):
    words = ["--path", "flow", "--schedule", "trailing", "--oracle", "gaussian"]
    words += ["--solver", "flow_euler", "--solver", "flow_heun", "--evaluations", "8,31"]
    assert compare(*words, "--reference", 200) == 0
    text = capsys.readouterr().out
    best = [line for line in text.splitlines() if line.startswith("best of")]
    assert best[0].startswith("best of   8  ")
    assert best[1].startswith("best of  31  flow_heun")
    assert "flow_euler" in best[1]


def test_levels_of_a_file_are_a_schedule(tmp_path, capsys):
    file = tmp_path / "levels.json"
    file.write_text('{"name": "levels", "levels": [50, 5, 1, 0.2, 0]}')
    words = ["--schedule", str(file), "--oracle", "gaussian", "--solver", "euler"]
    assert compare(*words, "--evaluations", "4,5", "--reference", 200) == 0
    text = capsys.readouterr().out
    assert "levels=(50.0, 5.0, 1.0, 0.2, 0.0)" in text
    assert "skipped    euler at 5: " in text


def test_the_measure_that_is_asked_for_ranks_and_is_drawn(tmp_path, capsys):
    out = tmp_path / "d.svg"
    words = ["--solver", "euler", *FEW, "--measure", "distance", "--out", out]
    assert compare(*words) == 0
    found = rows(capsys.readouterr().out)
    last = f"{float(found['euler', 8][5]):.1e}"
    text = out.read_text()
    assert "sliced Wasserstein distance" in text
    assert f"euler  {last}" in text


def test_points_in_a_box_that_reflects(tmp_path, capsys):
    """Steps come nearer to the data, which a set shows slowly; what goes outside is refused."""
    out = tmp_path / "b.svg"
    words = ["--oracle", "reflected", "--evaluations", "2,120", "--samples", 1000, "--out", out]
    assert compare(*words) == 0
    text = capsys.readouterr().out
    assert "oracle     reflected, 1000 points in a square that reflects, VE(" in text
    name = "predictor_corrector(corrections=0, box=(0, 1))*"
    found = [line[len(name) :].split() for line in text.splitlines() if line.startswith(name)]
    (_, _, _, _, few), (_, _, _, _, many) = found
    assert float(many) < 0.75 * float(few)
    assert "two such sets are 6.7e-02 apart" in text
    assert "sliced Wasserstein distance" in out.read_text()
    assert f"{float(many):.1e}" in out.read_text()
    assert compare("--oracle", "reflected", "--solver", "euler") == 2
    assert "Use PredictorCorrector(box=(0.0, 1.0))" in capsys.readouterr().err


def test_what_refuses_is_left_out_with_its_reason(capsys):
    words = ["--solver", "flow_heun", "--solver", "euler", "--evaluations", "1,4,8"]
    assert compare(*words, "--samples", 4, "--reference", 20) == 0
    skipped = [each for each in capsys.readouterr().out.splitlines() if "skipped" in each]
    assert len(skipped) == 2
    assert "flow_heun at 1: a step takes up to 2 evaluations" in skipped[0]
    assert "flow_heun at 4, 8: FlowHeun() needs a linear path" in skipped[1]


def test_all_solvers_are_tried_by_default(capsys):
    assert compare("--evaluations", "4", "--samples", "2", "--reference", "10") == 0
    text = capsys.readouterr().out
    for name in SOLVERS:
        assert f"\n{name} " in text or f"\n{name}* " in text or f"skipped    {name} at" in text


def test_a_bundle_is_compared_with_many_steps_of_its_best_solver(tmp_path, capsys):
    data = tmp_path / "e.json"
    words = [STORED, 1, 2, "--solver", "euler", "--solver", "ddim(eta=0.5)", "--threads", 1]
    words += ["--evaluations", "2,4", "--reference", 30, "--reference-solver", "flow_heun"]
    assert compare(*words, "--samples", 2, "--seed", 7, "--guidance", 1, "--json", data) == 0
    text = capsys.readouterr().out
    assert "model      tiny e9a1f37b, 2 conditions, 4 pictures, seed 7" in text
    assert (
        "reference  flow_heun, 30 steps on Trailing(final=Final.ZERO); half as many differ by"
        in text
    )
    outcomes = json.loads(data.read_text())["outcomes"]
    assert [(each["evaluations"], each["nfe"]) for each in outcomes] == [(2, 2), (4, 4)] * 2

    def latents(solver, steps):
        with Runtime.open(STORED, threads=1) as runtime:
            guided = solver_guidance()
            asked = [
                Request(
                    label, seed=6 + label, images=2, steps=steps, solver=solver, guidance=guided
                )
                for label in (1, 2)
            ]
            return np.concatenate([result.flat for result in runtime.generate(asked)])

    truth = latents(FlowHeun(), 30).astype(float)
    for name, each in (("euler", Euler()), ("ddim(eta=0.5)", DDIM(0.5))):
        expected = np.sqrt(np.mean((latents(each, 4) - truth) ** 2))
        (found,) = [o for o in outcomes if o["solver"] == name and o["steps"] == 4]
        assert found["rms"] == pytest.approx(expected, rel=1e-5)


def solver_guidance():
    from denoisert.runtime import CFG

    return CFG(1.0)


def test_a_bundle_chooses_its_reference_and_conditions(capsys):
    words = [STORED, "--solver", "euler", "--evaluations", "3", "--reference", 12, "--threads", 1]
    assert compare(*words, "--samples", 1) == 0
    text = capsys.readouterr().out
    assert "3 conditions, 3 pictures" in text
    assert "reference  euler," not in text


def test_levels_of_few_steps_are_compared_with_many_steps_elsewhere(tmp_path, capsys):
    file, data = tmp_path / "e4.json", tmp_path / "e.json"
    file.write_text('{"name": "levels", "levels": [50, 5, 1, 0.2, 0]}')
    words = [STORED, 1, "--schedule", file, "--solver", "euler", "--solver", "ddim"]
    words += ["--evaluations", "4", "--reference", 30, "--samples", 1, "--threads", 1]
    assert compare(*words, "--json", data) == 0
    assert ", 30 steps on Trailing(" in capsys.readouterr().out
    outcomes = json.loads(data.read_text())["outcomes"]
    assert {each["steps"] for each in outcomes} == {4}
    assert all(0.0 < each["rms"] < 1.0 for each in outcomes)


def test_nothing_that_runs_is_a_failure_with_a_reason(capsys):
    assert compare("--solver", "flow_heun", "--evaluations", "4", "--reference", 5) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("denoisert: InvalidInput: no solver ran: flow_heun: FlowHeun()")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--evaluations", "4,x"], "--evaluations 4,x"),
        (["--evaluations", "4,4"], "each once"),
        (["--evaluations", "0,4"], "from 1 to 1000"),
        (["--evaluations", "1001"], "from 1 to 1000"),
        (["--reference", "0"], "--reference 0"),
        (["--samples", "0"], "--samples 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--solver", "eulr"], "eulr"),
        (["--schedule", "nowhere"], "nowhere"),
        (["--path", "nowhere"], "nowhere"),
        (["--guidance", "2"], "belong to a BUNDLE"),
        (["--reference-solver", "heun"], "belong to a BUNDLE"),
        ([STORED, "--oracle", "finite"], "leave --oracle"),
        ([STORED, "--path", "flow"], "leave --oracle"),
        ([STORED, "--reference-solver", "eulr"], "eulr"),
        ([STORED, "cow"], "cow"),
        (["--out", "a.png"], ".svg"),
        (["--json", "a.txt"], ".json"),
        ([STORED, "--out", STORED / "a.svg"], "lies in the bundle"),
    ],
)
def test_what_cannot_be_meant_is_refused(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert compare(*words) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_its_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom denoisert.runtime.cli import main\n"
        "try:\n    main(['solver', 'compare', '--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "print('numpy' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "--evaluations" in done.stdout


def test_the_verb_alone_and_an_unknown_oracle_are_misuse(capsys):
    for words in (["solver"], ["solver", "compare", "--oracle", "delphi"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
    assert "delphi" in capsys.readouterr().err


def test_a_solver_that_needs_values_is_named_and_not_tried(monkeypatch):
    def refuse(table, text):
        if text == "heun":
            raise TypeError("heun() misses a value")
        return table[text]()

    monkeypatch.setattr("denoisert.runtime.sampling.notation.parse", refuse)
    solvers, absent = subjects.solvers(None)
    assert "heun" not in solvers
    assert [(each.solver, each.reason) for each in absent if each.solver == "heun"] == [
        ("heun", "heun() misses a value")
    ]

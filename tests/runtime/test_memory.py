"""How much memory a request takes: in numbers, of a real bundle, and through the verb `plan`."""

import json

import pytest

from denoisert.runtime import CFG, Phase, Request, Runtime, Torch
from denoisert.runtime.cli import main
from denoisert.runtime.engines import workspace
from denoisert.runtime.errors import InvalidInput, OutOfProfile
from denoisert.runtime.memory import MemoryPlan, PhaseMemory
from tests.runtime.cli.test_bench import STORED

RED = Request("red apple", steps=2, guidance=CFG(2.0))


def plan_of(*held, source="modelled"):
    """A phase for each (phase, weights, workspace, buffers)."""
    return MemoryPlan(tuple(PhaseMemory(*each) for each in held), source)


WHOLE = plan_of(
    (Phase.TEXT, 500, 20, 3), (Phase.DENOISER, 3000, 400, 50), (Phase.CODEC, 100, 900, 7)
)


def test_the_peak_is_all_of_it_and_less_where_phases_are_released():
    assert WHOLE.peak_bytes == 523 + 3450 + 1007
    assert WHOLE.released_bytes == 3450 + 1007
    assert plan_of((Phase.DENOISER, 10, 2, 1)).released_bytes == 13


def test_what_is_unknown_is_said_and_not_counted():
    found = plan_of((Phase.DENOISER, 2**20, None, 2**20), source=workspace.UNKNOWN)
    assert found.peak_bytes == 2**21
    lines = str(found).splitlines()
    assert (
        lines[1]
        == f"{'denoiser':<10}{'1.00 MiB':>14}{'unknown':>14}{'1.00 MiB':>14}{'2.00 MiB':>14}"
    )
    assert lines[2].startswith("peak      2.00 MiB with all of it in memory (without workspaces: ")


@pytest.fixture
def runtime(text_bundle):
    with Runtime.open(text_bundle, threads=1, slots=2) as opened:
        yield opened


def test_a_real_bundle_is_counted_without_loading_it(runtime, text_bundle):
    found = {each.phase: each for each in runtime.memory(RED).phases}
    manifest = json.loads((text_bundle / "manifest.json").read_text(encoding="utf-8"))
    sizes = {
        name: sum((text_bundle / path).stat().st_size for path in graph["weights"])
        for name, graph in manifest["graphs"].items()
    }
    assert found[Phase.TEXT].weight_bytes == sizes["text_encoder"]
    assert found[Phase.DENOISER].weight_bytes == sizes["denoiser"]
    assert found[Phase.CODEC].weight_bytes == sizes["decoder"] + sizes["encoder"]
    assert found[Phase.DENOISER].buffer_bytes == runtime.plan(RED).memory_bytes
    assert all(each.workspace_bytes > 0 for each in found.values())
    assert runtime.stats()["loads"] == 0


def test_two_branches_need_more_workspace_than_one(runtime):
    two, one = (
        {each.phase: each for each in runtime.memory(request).phases}[Phase.DENOISER]
        for request in (RED, Request("red apple", steps=2, guidance=CFG(1.0)))
    )
    assert one.workspace_bytes < two.workspace_bytes <= 2 * one.workspace_bytes + 4096
    assert one.weight_bytes == two.weight_bytes


def test_torch_plans_what_onnx_runtime_is_modelled_by(text_bundle, runtime):
    with Runtime.open(text_bundle, devices=(Torch("cpu"),), threads=1, slots=2) as opened:
        planned = opened.memory(RED)
    modelled = runtime.memory(RED)
    assert (planned.source, modelled.source) == ("planned", "modelled")
    pairs = zip(planned.phases, modelled.phases, strict=True)
    differences = {a.phase: b.workspace_bytes - a.workspace_bytes for a, b in pairs}
    assert all(each > 0 for each in differences.values()), "scores of attention"


def test_without_torch_workspaces_are_unknown(runtime, monkeypatch):
    monkeypatch.setattr(workspace, "installed", lambda package: None)
    found = runtime.memory(RED)
    assert found.source == workspace.UNKNOWN
    assert {each.workspace_bytes for each in found.phases} == {None}


def test_a_request_that_cannot_run_has_no_plan(runtime):
    with pytest.raises(OutOfProfile, match="the bundle is compiled for"):
        runtime.memory(Request("red apple", size=(40, 40)))
    with pytest.raises(InvalidInput):
        runtime.memory("red apple")


def test_the_verb_prints_phases_and_both_peaks(text_bundle, capsys):
    words = [
        "plan",
        str(text_bundle),
        "red apple",
        "--images",
        "3",
        "--guidance",
        "2",
        "--slots",
        "4",
    ]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("engine   onnxruntime")
    assert "work     3 picture(s), up to 6 lanes per call" in lines
    table = [line.split()[0] for line in lines if line.endswith("MiB")]
    assert table == ["text", "denoiser", "codec"]
    assert lines[-2].startswith("peak ")
    assert lines[-1].endswith("where text and codec are released after each use")


def test_the_verb_needs_no_condition_and_prints_json(capsys):
    assert main(["plan", str(STORED), "--json", "--guidance", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lanes"] == 2
    assert list(found["phases"]) == ["denoiser"]
    held = sum(value for value in found["phases"]["denoiser"].values())
    assert found["peak_bytes"] == found["released_peak_bytes"] == held

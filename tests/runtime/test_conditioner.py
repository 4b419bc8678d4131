"""A conditioner runs once per request; pictures are those of the whole denoiser, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from denoisert.runtime import CFG, Condition, Phase, Request, Runtime, Torch
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import main
from denoisert.runtime.components import load_components
from denoisert.runtime.conditioner import CONDITIONER, Conditioner
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.loading import load
from denoisert.runtime.errors import Incompatible, OutOfProfile
from denoisert.runtime.text.cache import PromptCache
from tests.export.divided import write_divided
from tests.once import Once
from tests.runtime.spies import Spy

ASKED = [
    Request("red apple", seed=1, steps=3, guidance=CFG(3.0), images=2),
    Request(Condition("blue", negative="green leaf"), seed=2, steps=2, guidance=CFG(2.0)),
    Request("yellow", seed=3, steps=2),
]


@pytest.fixture(scope="session")
def divided_bundle(text_bundle: Path, once: Once) -> Path:
    """`text_bundle` with a conditioner."""
    name = "divided.bundle"
    return once("divided", lambda folder: write_divided(text_bundle, folder / name)) / name


def latents(path: Path, **options: object) -> list[np.ndarray]:
    """Of all requests together, then of each alone."""
    with Runtime.open(path, threads=1, **options) as runtime:
        tickets = [runtime.submit(request) for request in ASKED]
        found = [ticket.result() for ticket in tickets]
        found += [runtime.generate(request) for request in ASKED]
    return [next(iter(result.latents.values())) for result in found]


def test_pictures_are_those_of_the_whole(divided_bundle: Path, text_bundle: Path) -> None:
    expected = latents(text_bundle)
    for found, whole in zip(latents(divided_bundle), expected, strict=True):
        np.testing.assert_array_equal(found, whole)
    assert np.abs(expected[0][0] - expected[1][0]).max() > 0.01, "what is told must matter"


@pytest.mark.slow
def test_torch_runs_both_halves(divided_bundle: Path, text_bundle: Path) -> None:
    devices = (Torch("cpu"),)
    pairs = zip(latents(divided_bundle, devices=devices), latents(text_bundle), strict=True)
    for found, whole in pairs:
        assert np.abs(found - whole).max() < 1e-4 * np.abs(whole).max()


def test_it_runs_once_for_all_branches_that_wait(divided_bundle: Path) -> None:
    conditioner, spy = watched(divided_bundle)
    shape = {port.name: port.shape(1)[1:] for port in spy.inputs}
    generator = np.random.default_rng(0)
    branches = [
        {name: generator.standard_normal(size, np.float32) for name, size in shape.items()}
        for _ in range(5)
    ]
    together = conditioner.tell(branches)
    assert spy.runs == [5]
    for branch, fed in zip(branches, together, strict=True):
        (alone,) = conditioner.tell([branch])
        assert list(fed) == list(alone) == wanted(divided_bundle)
        for name, values in fed.items():
            np.testing.assert_array_equal(values, alone[name])


def test_more_branches_than_a_call_takes_are_several_calls(divided_bundle: Path) -> None:
    conditioner, spy = watched(divided_bundle)
    shape = {port.name: port.shape(1)[1:] for port in spy.inputs}
    branches = [
        {name: np.full(size, number, np.float32) for name, size in shape.items()}
        for number in range(20)
    ]
    fed = conditioner.tell(branches)
    assert spy.runs == [16, 4]
    first = next(iter(fed[0]))
    assert len({each[first].tobytes() for each in fed}) == 20
    assert conditioner.tell([]) == []


def test_another_shape_is_refused(divided_bundle: Path) -> None:
    conditioner, spy = watched(divided_bundle)
    wrong = {port.name: np.zeros((3, 2), np.float32) for port in spy.inputs}
    with pytest.raises(OutOfProfile):
        conditioner.tell([wrong])


def test_components_that_do_not_fit_together_are_refused(divided_bundle: Path) -> None:
    _, spy = watched(divided_bundle)
    told = [port.name for port in spy.inputs]
    with pytest.raises(Incompatible, match="'mask'"):
        Conditioner(spy, told, [*wanted(divided_bundle), "mask"])
    with pytest.raises(Incompatible, match=r"asks for .*hidden_states"):
        Conditioner(spy, ["label"], wanted(divided_bundle))


def test_a_denoiser_without_its_conditioner_is_refused(
    divided_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(divided_bundle)
    entry = bundle.manifest.engines["onnxruntime"]
    monkeypatch.delitem(entry.graphs, CONDITIONER)
    with pytest.raises(Incompatible, match="no 'conditioner'"):
        load_components(bundle, [choose(bundle)], 1, PromptCache())


def test_it_comes_and_goes_with_the_text_encoders(divided_bundle: Path) -> None:
    with Runtime.open(divided_bundle, threads=1) as runtime:
        runtime.warm(Phase.TEXT)
        assert runtime.stats()["loads"] == 2, "text encoder and conditioner"
        runtime.release(Phase.TEXT)
        assert runtime.stats()["releases"] == 2
        runtime.generate(ASKED[0])
        again = runtime.stats()["loads"]
        runtime.generate(ASKED[0])
        assert runtime.stats()["loads"] == again


def test_plans_count_what_it_makes(divided_bundle: Path, text_bundle: Path) -> None:
    with Runtime.open(divided_bundle, threads=1) as runtime:
        plan, memory = runtime.plan(ASKED[0]), runtime.memory(ASKED[0])
    with Runtime.open(text_bundle, threads=1) as runtime:
        whole, others = runtime.plan(ASKED[0]), runtime.memory(ASKED[0])
    assert plan.memory_bytes > whole.memory_bytes
    held = {each.phase: each.weight_bytes for each in memory.phases}
    before = {each.phase: each.weight_bytes for each in others.phases}
    moved = held[Phase.TEXT] - before[Phase.TEXT]
    assert moved > 0
    assert abs(before[Phase.DENOISER] - held[Phase.DENOISER] - moved) < 0.02 * moved


def test_both_halves_are_verified(divided_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(divided_bundle), "--parity"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("conditioner", "denoiser"):
        assert any(line.startswith(f"parity   {name} onnxruntime") for line in lines)


def watched(path: Path) -> tuple[Conditioner, Spy]:
    """A conditioner and the spy that stands before its engine."""
    bundle = Bundle.open(path)
    spy = Spy(load(bundle, choose(bundle), CONDITIONER, 1))
    told = [entry.name for entry in bundle.card.conditions]
    return Conditioner(spy, told, wanted(path)), spy


def wanted(path: Path) -> list[str]:
    """Inputs of the denoiser that a condition bank holds."""
    ports: tuple[Port, ...] = Bundle.open(path).manifest.graphs["denoiser"].inputs
    return [port.name for port in ports if port.name not in ("latent", "time")]

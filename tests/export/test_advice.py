"""Cards that recommend what cannot run are refused before anything is compiled."""

from dataclasses import replace

import pytest

from denoisert.export import compile_bundle
from denoisert.export.advice import check_advice
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.guidance import CFG, EmbeddedGuidance
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Karras, Levels, ResidualBridgePath, Trailing
from denoisert.runtime.sampling.solvers import DDIM, Euler, FlowEuler, Inpainted, ResidualBridge
from tests.runtime.bundles import NOISE_SAMPLER, NOISE_TRAINING
from tests.runtime.networks import perceptron

TOY = perceptron()
NOISE = TOY.card(training=NOISE_TRAINING, sampler=NOISE_SAMPLER)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (replace(NOISE, sampler=Recommended(FlowEuler(), Trailing(), 5)), "needs a linear path"),
        (TOY.card(sampler=Recommended(Euler(), Levels((2.0, 1.0, 0.0)), 5)), "2 steps|has 2"),
        (TOY.card(sampler=Recommended(Euler(), Karras(), 5)), "Karras"),
        (
            replace(NOISE, training=replace(NOISE_TRAINING, timesteps=(999.0,))),
            "trained at",
        ),
        (
            TOY.card(sampler=Recommended(Euler(), Trailing(), 5, EmbeddedGuidance())),
            "has no input for one",
        ),
        (TOY.card(sampler=Recommended(Euler(), Trailing(), 5, CFG((1.0, 2.0)))), "2 guidance"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_run(card, words, tmp_path):
    with pytest.raises(InvalidInput, match=r"the card of toy recommends .*, which cannot run: .*"):
        check_advice(card)
    with pytest.raises(InvalidInput, match=words):
        compile_bundle(TOY.save(tmp_path), tmp_path / "toy.bundle", card=card)
    assert not (tmp_path / "toy.bundle").exists()


def test_what_a_request_has_to_bring_is_no_fault_of_the_card():
    check_advice(replace(NOISE, sampler=Recommended(Inpainted(DDIM()), Trailing(), 5)))
    bridge = Training(Parametrisation.X0, ResidualBridgePath())
    check_advice(TOY.card(training=bridge, sampler=Recommended(ResidualBridge(), Trailing(), 5)))
    check_advice(TOY.card(training=Training(Parametrisation.FLOW, Flow())))


@pytest.mark.parametrize("card", [{"name": "toy"}, "card.json", b"{}"], ids=repr)
def test_what_is_no_card(card, tmp_path):
    with pytest.raises(InvalidInput, match=r"Card\.from_dict\(values\), or Card\.from_json"):
        compile_bundle(TOY.save(tmp_path), tmp_path / "toy.bundle", card=card)

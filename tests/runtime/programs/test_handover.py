"""What base and refiner are asked: the same run, divided where diffusers divides it."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import (
    After,
    Before,
    Condition,
    Karras,
    Leading,
    Noised,
    Request,
    ScaledLinear,
    Start,
    Timesteps,
    Trailing,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.programs.handover import SEED_OFFSET, Handover
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.solvers import Euler
from tests.runtime.networks import perceptron

TRAINING = Training(Parametrisation.EPS, ScaledLinear())
ADVICE = Recommended(Euler(), Leading(1), 8)
BASE = perceptron().card(training=TRAINING, sampler=ADVICE, name="base")
REFINER = replace(BASE, name="refiner", sampler=replace(ADVICE, steps=30))
LATENTS = np.random.default_rng(2).standard_normal((3, 60)).astype(np.float32)


def steps_of(between, request):
    """(times that the base is asked at, those of the refiner)."""
    schedule = BASE.training.schedule
    first, second = between.first(request), between.second(request, LATENTS)
    before = first.schedule.grid(schedule, first.steps)
    after = second.schedule.grid(schedule, second.steps)
    told = [before[index].model_time for index in range(before.stop)]
    return told, [after[index].model_time for index in range(after.steps)]


@pytest.mark.parametrize("share", [0.8, 0.6, 0.5, 0.25])
@pytest.mark.parametrize("count", [8, 25])
def test_times_from_the_cutoff_on_are_the_bases(count, share):
    """`ts >= round(T - share T)` in diffusers' base, `ts < ...` in its refiner."""
    between, request = Handover(BASE, REFINER, share), Request(3, steps=count)
    whole = Leading(1).grid(BASE.training.schedule, count)
    times = [whole[index].model_time for index in range(count)]
    cutoff = round(1000 - share * 1000)
    wanted = [time for time in times if time >= cutoff], [time for time in times if time < cutoff]
    assert all(wanted)
    assert steps_of(between, request) == wanted


def test_a_time_of_the_steps_themselves_is_the_bases():
    times = (900.0, 600.0, 400.0, 200.0, 100.0)
    between = Handover(BASE, REFINER, 0.6)
    found = steps_of(between, Request(3, schedule=Timesteps(times)))
    assert found == ([900.0, 600.0, 400.0], [200.0, 100.0])


def test_continuous_time_is_divided_by_its_share():
    card = perceptron().card(name="flow")
    assert Handover(card, card, 0.75).level == pytest.approx(0.25 / 0.75)


def test_what_the_two_are_asked():
    request = Request(3, seed=5, images=3)
    between = Handover(BASE, REFINER, 0.6)
    first, second = between.first(request), between.second(request, LATENTS)
    assert (first.steps, second.steps) == (8, 8), "the base's, not the refiner's 30"
    assert (first.schedule, second.schedule) == (
        Before(Leading(1), between.level),
        After(Leading(1), between.level),
    )
    assert (first.start, first.size) == (None, None)
    assert (second.start.noised, second.size) == (Noised.ALREADY, (6, 5))
    assert second.start.latent is LATENTS
    assert (first.seed, second.seed) == (5, 5 + SEED_OFFSET)
    assert between.second(replace(request, seed=2**64 - 1)).seed == 2**63 - 1
    assert not between.second(request).start.latent.any()
    assert (first.images, second.images, first.solver, second.solver) == (3, 3, None, None)


def test_each_is_told_what_it_knows():
    def card(encoders, quantities, name):
        texts = tuple(TextEncoder(each, f"{each}.json", 8) for each in encoders)
        states = tuple(
            ConditionInput(
                f"of_{each}", Source.ENCODER_OUTPUT, "float32", (8, 4), encoder=each, output="s"
            )
            for each in encoders
        )
        measures = tuple(Measure(each, 1.0) for each in quantities)
        sizes = ConditionInput(
            "sizes", Source.SIZES, "float32", (len(measures),), measures=measures
        )
        return replace(BASE, name=name, texts=texts, conditions=(*states, sizes))

    base = card(("one", "two"), (Quantity.CROP_TOP, Quantity.TARGET_WIDTH), "base")
    refiner = card(("two",), (Quantity.CROP_TOP, Quantity.SCORE), "refiner")
    positive = {"one": "a", "two": "b", "crop_top": 3, "target_width": 9, "score": 5}
    between = Handover(base, refiner, 0.6)
    request = Request(Condition(positive, {"prompt": "c", "score": 1, "nobody": 2}))
    first, second = between.first(request).told, between.second(request).told
    assert first.positive == {"one": "a", "two": "b", "crop_top": 3, "target_width": 9}
    assert second.positive == {"two": "b", "crop_top": 3, "score": 5}
    assert first.negative == {"prompt": "c", "nobody": 2}, "unknown to both: refused by the base"
    assert second.negative == {"prompt": "c", "score": 1, "nobody": 2}
    plain = between.second(Request(Condition("a", None))).told
    assert (plain.positive, plain.negative) == ("a", None)


def test_the_size_picks_the_layout_that_is_handed_over():
    tall = StateLayout((Part("latent", (2, 8, 5)),))
    both = (replace(BASE, further=(tall,)), replace(REFINER, further=(tall,)))
    between = Handover(*both, 0.6)
    assert between.second(Request(3, size=(8, 5))).start.latent.shape == (1, 80)
    assert between.second(Request(3, size=(8, 5))).size == (8, 5)
    assert between.second(Request(3)).start.latent.shape == (1, 60)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_share_outside_its_range(share):
    with pytest.raises(InvalidInput, match="a share of the run between 0 and 1"):
        Handover(BASE, REFINER, share)


def test_networks_that_do_not_belong_together():
    wide = perceptron(layout=StateLayout((Part("latent", (3, 6, 5)),)))
    other = wide.card(training=TRAINING, sampler=ADVICE, name="other")
    with pytest.raises(InvalidInput, match="base and other have different states"):
        Handover(BASE, other, 0.6)
    trained = replace(REFINER, training=replace(TRAINING, schedule=ScaledLinear(0.001, 0.01)))
    with pytest.raises(InvalidInput, match="base and refiner have different noise schedules"):
        Handover(BASE, trained, 0.6)


def test_schedules_that_do_not_meet():
    trailing = replace(REFINER, sampler=replace(ADVICE, spacing=Trailing()))
    between = Handover(BASE, trailing, 0.6)
    with pytest.raises(InvalidInput, match="Name one schedule for both in the request"):
        between.check(Request(3))
    between.check(Request(3, schedule=Karras()))
    Handover(BASE, REFINER, 0.6).check(Request(3))


@pytest.mark.parametrize("share", [0.001, 0.9999])
def test_a_share_that_leaves_one_network_without_steps(share):
    with pytest.raises(InvalidInput, match="Give a level between them, or more steps"):
        Handover(BASE, REFINER, share).check(Request(3))


def test_a_mask_is_refused():
    start = Start(LATENTS[0], mask=np.ones((6, 5), bool))
    with pytest.raises(InvalidInput, match="a mask and a refiner"):
        Handover(BASE, REFINER, 0.6).check(Request(3, start=start))

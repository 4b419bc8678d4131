"""The sweep over all solvers: how pictures are judged, what is measured, what is the truth."""

from dataclasses import replace

import numpy as np
import pytest

from bench.case import Setting, Size
from bench.quality import digits, emoji, sweep
from bench.quality import reference as many_steps
from bench.quality.__main__ import chosen
from bench.quality.sweep import Sweep, draw
from bench.quality.yardstick import standard_error
from bench.run import here
from denoisert.export.zoo.digits.data import split_digits
from denoisert.export.zoo.emoji.quality import THUMBNAILS_FILE, read_sheet
from denoisert.runtime import DDPM, EDICT, Euler, Heun, Result, Runtime
from denoisert.runtime.layout import Part, StateLayout

FEW = replace(digits.YARDSTICK, conditions=(0, 1), images=2)
GREY = StateLayout((Part("latent", (1, 16, 16)),))


def test_a_standard_error_is_that_of_a_mean_or_of_a_doubtful_share():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    assert standard_error(values) == pytest.approx(np.sqrt(((values - 4) ** 2).sum() / 3 / 4))
    assert standard_error(np.array([3.0])) == 0.0
    assert standard_error(np.ones(20, bool)) == pytest.approx(np.sqrt(20.5 / 21 * 0.5 / 21 / 20))
    assert standard_error(np.ones(80, bool)) < standard_error(np.ones(20, bool))


def test_digits_are_as_far_as_the_nearest_training_picture_of_their_class():
    train, held_out = split_digits()
    same = digits.nearest(train.images[:5].astype(float), train.labels[:5])
    np.testing.assert_allclose(same, 0.0, atol=1e-7)
    picture, digit = held_out.images[0], held_out.labels[0]
    (found,) = digits.nearest(picture[None].astype(float), np.array([digit]))
    far = [np.sqrt(np.mean((picture - each) ** 2)) for each in train.images[train.labels == digit]]
    assert found == pytest.approx(min(far))


def test_real_digits_are_hits_and_those_of_another_class_are_not():
    train, _ = split_digits()
    firsts = [train.images[train.labels == digit][:3] for digit in range(10)]
    scores = digits.score([Result(GREY, None, each.reshape(3, -1)) for each in firsts])
    assert scores.hits.all()
    assert scores.distance.shape == (30,)
    turned = digits.score([Result(GREY, None, each.reshape(3, -1)) for each in reversed(firsts)])
    assert not turned.hits.any()
    assert (turned.distance > scores.distance).all()


def test_glyphs_are_their_own_pictures():
    known = read_sheet(THUMBNAILS_FILE, 32)[emoji.asked()]
    large = known.repeat(2, axis=1).repeat(2, axis=2)
    layout = StateLayout((Part("latent", (4, 16, 16)),))
    latent = np.zeros((1, 1024), np.float32)
    results = [Result(layout, None, latent, pixels=each[None]) for each in large]
    scores = emoji.score(results)
    assert scores.hits.all()
    np.testing.assert_allclose(scores.distance, 0.0, atol=1e-12)
    turned = emoji.score(results[1:] + results[:1])
    assert not turned.hits.any()
    grey = known[0].astype(float) - known[1]
    assert turned.distance[0] == pytest.approx(np.sqrt(np.mean((grey / 255) ** 2)))


def test_the_captions_are_those_of_the_fixed_measure():
    assert len(set(emoji.YARDSTICK.conditions)) == emoji.PICTURES
    assert all(isinstance(caption, str) for caption in emoji.YARDSTICK.conditions)


@pytest.fixture(scope="module")
def found(digits_bundle):
    """A sweep of three solvers on four pictures, and a coarse truth."""
    setting = Setting(Size.TINY, here(), digits_bundle)
    with Runtime.open(digits_bundle, threads=1) as runtime:
        truth = draw(runtime, FEW, FEW.requests(None), Heun(), 20)
        swept = Sweep(runtime, FEW, setting, truth)
        solvers = {"euler": Euler(), "heun": Heun(), "ddpm": DDPM(), "edict": EDICT()}
        yield (
            truth,
            list(swept.records("card", solvers, 7)),
            list(swept.records("shift 2", {"euler": Euler()}, 7)),
            draw(runtime, FEW, FEW.requests(None), Euler(), 7),
        )


def test_every_solver_takes_as_many_steps_as_fit_and_a_refusal_is_told(found):
    _, swept, _, _ = found
    euler, heun, ddpm, refusal = swept
    costs = [(each.extra["steps"], each.extra["evaluations"]) for each in (euler, heun, ddpm)]
    assert costs == [(7.0, 7.0), (4.0, 6.0), (7.0, 7.0)], "Heun's ends ask once"
    assert [each.extra["draws_noise"] for each in (euler, heun, ddpm)] == ["no", "no", "yes"]
    assert refusal.startswith("refused quality/digits card 7 edict: ")
    assert (euler.case, euler.provider, euler.unit) == ("quality/digits card 7", "euler", "rms")


def test_the_error_is_that_of_the_latents_and_the_quality_is_paired(found):
    truth, (euler, *_), _, alone = found
    errors = np.sqrt(((alone.latents - truth.latents) ** 2).mean(1))
    assert euler.median == pytest.approx(np.median(errors), rel=1e-5)
    assert euler.extra["rms"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-3)
    excess = alone.scores.distance - truth.scores.distance
    assert euler.extra["excess"] == pytest.approx(excess.mean(), rel=1e-3)
    assert euler.extra["excess_se"] == pytest.approx(excess.std(ddof=1) / 2, rel=1e-3)
    assert euler.extra["agreement"] == 1.0


def test_another_spacing_is_another_case(found):
    _, swept, (shifted,), _ = found
    assert shifted.case == "quality/digits shift 2 7"
    assert shifted.extra["rms"] != swept[0].extra["rms"]


def test_the_reference_is_the_candidate_that_moves_least(digits_bundle, monkeypatch):
    monkeypatch.setattr(many_steps, "FINE", 12)
    setting = Setting(Size.TINY, here(), digits_bundle)
    with Runtime.open(digits_bundle, threads=1) as runtime:
        made = many_steps.reference(runtime, FEW, setting, chosen(None))
        solver = chosen(None)[made.solver]
        half = draw(runtime, FEW, FEW.requests(None), solver, 6)
    candidates = {each.provider: each for each in made.records if "candidate" in each.case}
    assert made.solver == min(candidates, key=lambda name: candidates[name].median)
    assert candidates[made.solver].extra["to_the_chosen"] == 0.0
    (moved,) = [each for each in made.records if each.case.endswith("reference 12")]
    assert moved.median == pytest.approx(np.sqrt(np.mean((made.drawn.latents - half.latents) ** 2)))
    assert made.records[-1].extra["mean"] == pytest.approx(
        made.drawn.scores.distance.mean(), rel=1e-3
    )


def test_all_names_and_some_options_are_tried():
    assert {"euler", "unipc", "unipc(order=3)", "ddim(eta=1)"} <= set(chosen(None))
    assert list(chosen(["heun", "ddim(eta=0.5)"])) == ["heun", "ddim(eta=0.5)"]
    assert sorted(sweep.EVALUATIONS) == [4, 6, 8, 12, 16, 24, 32, 48]

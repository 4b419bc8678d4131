"""A bundle's own graphs run by torch: the same pictures as with ONNX Runtime, and on CUDA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DPMpp2M,
    Euler,
    EulerAncestral,
    Limits,
    Request,
    Runtime,
    Torch,
)
from denoisert.runtime.errors import Cancelled, DeadlineExceeded, Incompatible, OutOfProfile
from denoisert.runtime.events import Preview
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron
from tests.runtime.spies import error

LATENT_BOUND = 1e-3  # over 20 evaluations, relative to the largest number
# A half has 11 or 8 bits; 20 evaluations of digits' network turn that into at most so much.
HALF_BOUNDS = {"float16": 2e-2, "bfloat16": 1e-1}

DIGITS = [
    Request(label, seed=label, images=2, steps=20, solver=solver, guidance=CFG(scale))
    for label, (solver, scale) in enumerate(
        [(Euler(), 2.0), (Euler(), 1.0), (DPMpp2M(), 2.0), (EulerAncestral(), 3.0), (Euler(), 4.0)]
    )
]


def flats(path, requests, device):
    with Runtime.open(path, threads=1, devices=(device,)) as runtime:
        return [result.flat for result in runtime.generate(requests)]


@pytest.fixture(scope="module")
def digits_by_ort(digits_bundle):
    return flats(digits_bundle, DIGITS, "cpu")


def agreements(latents):
    from denoisert.export.zoo.digits.quality import classify  # scikit-learn

    return [classify(each.reshape(-1, 16, 16)).tolist() for each in latents]


def test_digits_are_those_of_onnx_runtime(digits_bundle, digits_by_ort):
    found = flats(digits_bundle, DIGITS, Torch("cpu"))
    for one, other in zip(found, digits_by_ort, strict=True):
        assert error(one, other) <= LATENT_BOUND
    assert agreements(found) == agreements(digits_by_ort)


@pytest.mark.parametrize("dtype", HALF_BOUNDS)
def test_digits_in_half_precision_are_the_same_digits(digits_bundle, digits_by_ort, dtype):
    found = flats(digits_bundle, DIGITS, Torch("cpu", dtype))
    distances = [error(one, other) for one, other in zip(found, digits_by_ort, strict=True)]
    assert max(distances) <= HALF_BOUNDS[dtype]
    assert min(distances) > LATENT_BOUND / 100  # it did compute in halves
    assert agreements(found) == agreements(digits_by_ort)


@pytest.mark.parametrize("dtype", HALF_BOUNDS)
def test_words_are_told_in_half_precision(text_bundle, dtype):
    asked = Request("red apple", seed=5, steps=4)
    one, other = (flats(text_bundle, [asked], Torch("cpu", each)) for each in ("float32", dtype))
    assert LATENT_BOUND / 100 < error(one[0], other[0]) <= HALF_BOUNDS[dtype]


def test_words_become_the_same_pictures(text_bundle):
    asked = [Request("red apple", seed=5, steps=20), Request("blue", seed=6, steps=10, images=3)]
    results = []
    for device in ("cpu", Torch("cpu")):
        with Runtime.open(text_bundle, threads=1, devices=(device,)) as runtime:
            results.append(runtime.generate(asked))
    for one, other in zip(*results, strict=True):
        assert error(one.flat, other.flat) <= LATENT_BOUND
        difference = one.pixels.astype(int) - other.pixels.astype(int)
        assert np.abs(difference).max() <= 2
    assert results[0][0].pixels.std() > 1


def test_a_request_does_not_depend_on_its_neighbours(digits_bundle):
    """Not bitwise as with ONNX Runtime: torch may pick another kernel for another batch."""
    alone = flats(digits_bundle, DIGITS[:1], Torch("cpu"))[0]
    together = flats(digits_bundle, DIGITS, Torch("cpu"))[0]
    assert error(together, alone) <= 1e-5


def test_the_plan_names_torch_and_warming_works(digits_bundle):
    with Runtime.open(digits_bundle, devices=(Torch("cpu", "float16"),)) as runtime:
        assert "torch" in repr(runtime)
        plan = runtime.plan(DIGITS[0])
        assert "float16" in plan.engine
        assert plan.memory_bytes > 0
        runtime.warm()
        assert runtime.is_ready
        with pytest.raises(OutOfProfile):
            runtime.plan(Request(1, size=(64, 64)))


def test_without_a_gpu_it_says_what_is_missing(digits_bundle):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Incompatible, match="finds no CUDA device"):
        Runtime.open(digits_bundle, devices=("cuda",))


@pytest.mark.slow
def test_emoji_are_those_of_onnx_runtime(emoji_bundle):
    """The fixed metric on 40 captions, 20 steps at guidance 4, and the latents themselves."""
    from denoisert.export.zoo.emoji.data import load_glyphs
    from denoisert.export.zoo.emoji.quality import fixed_captions, score

    asked = fixed_captions()[:40]
    captions = [glyph.caption for glyph in load_glyphs()]
    requests = [
        Request(captions[index], seed=number, steps=20, solver=DPMpp2M(), guidance=CFG(4.0))
        for number, index in enumerate(asked)
    ]
    results = []
    for device in ("cpu", Torch("cpu")):
        with Runtime.open(emoji_bundle, devices=(device,)) as runtime:
            results.append(runtime.generate(requests))
    for one, other in zip(*results, strict=True):
        assert error(one.flat, other.flat) <= LATENT_BOUND
    first, second = (
        score(np.concatenate([each.pixels for each in found]), asked) for found in results
    )
    assert first == second
    assert second.top1 >= 0.95


@pytest.mark.gpu
class TestCuda:
    """A toy made of plain ONNX, so that nothing but the runtime has to be installed."""

    REQUESTS = (
        Request(3, seed=2**63 + 1, images=3, steps=9, guidance=CFG(2.0)),
        Request(5, seed=7, steps=20, solver=EulerAncestral(), guidance=CFG(4.0, rescale=0.7)),
        Request(1, seed=8, steps=4, solver=DPMpp2M()),
    )

    @pytest.fixture(scope="class")
    def toy(self, tmp_path_factory):
        return compiled(perceptron(), tmp_path_factory.mktemp("toy"))

    def test_the_same_seed_is_the_same_picture_as_on_the_cpu(self, toy):
        for one, other in zip(
            flats(toy, self.REQUESTS, "cuda"), flats(toy, self.REQUESTS, "cpu"), strict=True
        ):
            assert error(one, other) <= 1e-4

    def test_after_warming_nothing_is_captured_for_a_request(self, toy):
        with Runtime.open(toy, devices=("cuda",)) as runtime:
            runtime.warm()
            before = runtime.stats()
            runtime.generate(list(self.REQUESTS[::2]))
            after = runtime.stats()
        assert after["graphs_missed"] == before["graphs_missed"]
        assert after["graphs_replayed"] > before["graphs_replayed"]

    def test_halves_run(self, toy):
        for dtype in HALF_BOUNDS:
            for one, other in zip(
                flats(toy, self.REQUESTS[2:], Torch("cuda", dtype)),
                flats(toy, self.REQUESTS[2:], "cpu"),
                strict=True,
            ):
                assert error(one, other) <= HALF_BOUNDS[dtype]

    def test_previews_deadlines_and_cancels_work_there(self, toy):
        with Runtime.open(toy, devices=("cuda",)) as runtime:
            seen = list(runtime.submit(self.REQUESTS[1], previews=5).events())
            assert sum(type(event) is Preview for event in seen) >= 1
            ticket = runtime.submit(Request(1, steps=900))
            ticket.cancel()
            with pytest.raises(Cancelled):
                ticket.result(60)
            late = replace(self.REQUESTS[0], steps=900, limits=Limits(deadline_s=0.05))
            with pytest.raises(DeadlineExceeded):
                runtime.submit(late).result(60)

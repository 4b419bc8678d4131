"""The whole way on real weights: bundle, runtime, pictures that a classifier recognises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from denoisert.export.zoo.digits import quality
from denoisert.export.zoo.digits.model import DigitsConfig, DigitsDiT
from denoisert.kernels.philox import reference as philox
from denoisert.runtime import (
    CFG,
    DDIM,
    Condition,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
    FlowHeun,
    Heun,
    Karras,
    Linspace,
    Request,
    Runtime,
    Start,
    Trailing,
    Unguided,
)
from denoisert.runtime.errors import ManifestMismatch

WEIGHTS = Path(quality.__file__).parent / "weights.safetensors"
SOLVERS = (
    Euler(),
    DDIM(eta=0.5),
    EulerAncestral(),
    Heun(),
    DPMpp2M(),
    FlowEuler(),
    FlowHeun(),
)
GUIDANCE = (Unguided(), CFG(2.0), CFG(3.0, interval=(0.2, 5.0)), CFG(4.0, rescale=0.7))
SPACINGS = (None, Trailing(), Linspace(), Karras(sigma_min=0.01, sigma_max=50.0))


@pytest.fixture(scope="module")
def runtime(digits_bundle: Path) -> Iterator[Runtime]:
    with Runtime.open(digits_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def network() -> DigitsDiT:
    model = DigitsDiT(DigitsConfig())
    model.load_state_dict(load_file(WEIGHTS), strict=True)
    return model.eval()


def agreement(runtime: Runtime, per_class: int, **sampler: object) -> float:
    requests = [
        Request(digit, seed=11 + digit, images=per_class, **sampler)  # type: ignore[arg-type]
        for digit in range(10)
    ]
    results = runtime.generate(requests)
    latents = np.concatenate([result.latents["latent"] for result in results])
    return quality.agreement(latents, np.repeat(np.arange(10), per_class))


def test_what_the_card_recommends_meets_the_bar_on_200_samples(runtime: Runtime) -> None:
    assert agreement(runtime, 20) >= 0.95


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_every_solver_draws_the_asked_digit(runtime: Runtime, solver: object) -> None:
    assert agreement(runtime, 4, solver=solver, steps=20, guidance=CFG(2.0)) >= 0.9


def test_the_classifier_notices_shuffled_classes(runtime: Runtime) -> None:
    results = runtime.generate([Request(digit, seed=3, images=2) for digit in range(10)])
    latents = np.concatenate([result.latents["latent"] for result in results])
    wrong = np.repeat((np.arange(10) + 3) % 10, 2)
    assert quality.agreement(latents, wrong) <= 0.1


def plain_loop(network: DigitsDiT, digit: int, seed: int, steps: int, scale: float) -> np.ndarray:
    """Euler with CFG as anybody would write it, on the runtime's noise."""
    noise = philox.normals(seed, draw=0, image=0, count=256)
    x = torch.from_numpy(noise.reshape(1, 1, 16, 16).copy())
    labels = torch.tensor([digit, 10])
    with torch.inference_mode():
        for step in range(steps):
            t, s = 1 - step / steps, 1 - (step + 1) / steps
            both = network(x.expand(2, -1, -1, -1), torch.full((2,), t), labels)
            velocity = both[1:] + scale * (both[:1] - both[1:])
            x = x + (s - t) * velocity
    return x.numpy().reshape(-1)


@pytest.mark.parametrize(
    ("digit", "seed", "scale"), [(3, 7, 2.0), (8, 2**63 + 5, 4.0), (0, 0, 1.0)]
)
def test_pictures_equal_those_of_a_plain_torch_loop(
    runtime: Runtime, network: DigitsDiT, digit: int, seed: int, scale: float
) -> None:
    result = runtime.generate(
        Request(digit, seed=seed, steps=25, solver=Euler(), guidance=CFG(scale))
    )
    truth = plain_loop(network, digit, seed, 25, scale)
    error = np.abs(result.flat[0] - truth).max() / np.abs(truth).max()
    assert error < 1e-3


def mixed_requests(count: int, seed: int) -> list[Request]:
    generator = np.random.default_rng(seed)
    return [
        Request(
            Condition(int(generator.integers(10)), negative=int(generator.integers(10)))
            if generator.random() < 0.3
            else int(generator.integers(10)),
            seed=int(generator.integers(2**63)),
            images=int(generator.integers(1, 3)),
            steps=int(generator.integers(2, 16)),
            solver=SOLVERS[generator.integers(len(SOLVERS))],
            schedule=SPACINGS[generator.integers(len(SPACINGS))],
            guidance=GUIDANCE[generator.integers(len(GUIDANCE))],
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_32_mixed_requests_on_8_slots_get_the_bits_they_get_alone(
    digits_bundle: Path, runtime: Runtime, seed: int
) -> None:
    requests = mixed_requests(32, seed)
    together = runtime.generate(requests)
    with Runtime.open(digits_bundle, slots=1) as alone:
        for request, result in zip(requests, together, strict=True):
            np.testing.assert_array_equal(alone.generate(request).flat, result.flat, repr(request))


def test_one_thread_and_two_give_the_same_bits(digits_bundle: Path, runtime: Runtime) -> None:
    request = Request(6, seed=21, images=5, steps=6)
    with Runtime.open(digits_bundle, threads=1) as single:
        np.testing.assert_array_equal(single.generate(request).flat, runtime.generate(request).flat)


def test_pictures_are_grey_16_by_16_and_use_the_whole_range(runtime: Runtime) -> None:
    picture = runtime.generate(Request(1, seed=5)).images[0]
    assert (picture.mode, picture.size) == ("L", (16, 16))
    low, high = picture.getextrema()
    assert low < 32
    assert high > 223


def test_a_start_latent_keeps_its_digit(runtime: Runtime) -> None:
    seven = runtime.generate(Request(7, seed=1))
    start = Start(seven.flat[0], strength=0.2)
    again = runtime.generate(Request(7, seed=2, images=4, start=start))
    far = runtime.generate(Request(7, seed=2, images=4))
    assert again.nfe < far.nfe
    assert np.abs(again.flat - seven.flat).mean() < 0.5 * np.abs(far.flat - seven.flat).mean()


def test_expect_pins_the_bundle(digits_bundle: Path, runtime: Runtime) -> None:
    with Runtime.open(digits_bundle, expect=runtime.bundle_id):
        pass
    with pytest.raises(ManifestMismatch, match="asked for bundle"):
        Runtime.open(digits_bundle, expect="0" * 64)

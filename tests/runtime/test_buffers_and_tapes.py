"""Requests that read buffers and leave tapes: inverted and recorded digits, on both devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from denoisert.export.zoo.digits import quality
from denoisert.runtime import (
    BDIA,
    CFG,
    DDIM,
    EDICT,
    DPMSolverV3,
    Inverse,
    Karras,
    Latents,
    Levels,
    Limits,
    Noised,
    NoiseEncoder,
    NoiseReplay,
    Request,
    Result,
    Runtime,
    Start,
    Truncated,
    Unguided,
)
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import Components
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.errors import OutOfMemory
from denoisert.runtime.events import Preview
from denoisert.runtime.options import Options
from tests.runtime.statistics_given import LEVELS, clean_statistics

FINITE = Karras(sigma_min=0.02, sigma_max=5.0)  # coupled solvers divide by alpha
COUPLED = (
    (EDICT(), EDICT(begin=Latents.PAIR)),
    (EDICT(p=0.97), EDICT(p=0.97, begin=Latents.PAIR)),
    (BDIA(), BDIA(begin=Latents.PAIR)),
    (BDIA(gamma=0.8), BDIA(gamma=0.8, begin=Latents.PAIR)),
)
PLACES = 1e-3  # between two devices over 20 evaluations, relative to the largest number


@pytest.fixture(scope="module")
def runtime(digits_bundle: Path) -> Iterator[Runtime]:
    with Runtime.open(digits_bundle, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def three(runtime: Runtime) -> np.ndarray:
    """A generated digit, (256,)."""
    return runtime.generate(Request(3, seed=5)).flat[0]


def classes(result: Result) -> list[int]:
    return quality.classify(result.latents["latent"]).tolist()


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("guidance", [Unguided(), CFG(2.0)], ids=repr)
@pytest.mark.parametrize(("solver", "pair"), COUPLED, ids=repr)
def test_an_inverted_digit_comes_back_exactly_or_as_another(
    runtime: Runtime, three: np.ndarray, solver: object, pair: object, guidance: object
) -> None:
    told = {"steps": 20, "schedule": FINITE, "guidance": guidance}
    up = runtime.generate(Request(3, solver=Inverse(solver), start=Start(three, 1.0), **told))
    ((second,),) = up.tapes
    assert second.shape == (1, 256)
    start = Start(up.flat[0], 1.0, {"second": second})
    back, other = runtime.generate([Request(c, solver=pair, start=start, **told) for c in (3, 8)])
    assert error(back.flat[0], three) < 1e-4
    assert classes(back) == [3]
    assert back.tapes == ((),)
    assert np.abs(other.flat[0] - three).max() > 0.5
    assert classes(other) == [8]
    swapped = Start(second[0], 1.0, {"second": up.flat[0]})  # the order of the pair matters
    wrong = runtime.generate(Request(3, solver=pair, start=swapped, **told))
    assert error(wrong.flat[0], three) > 1e-3


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_recorded_noise_gives_the_encoded_digit_or_its_edit(
    runtime: Runtime, three: np.ndarray, strength: float
) -> None:
    told = {"steps": 20, "guidance": CFG(2.0)}
    asked = Request(3, seed=9, solver=NoiseEncoder(), start=Start(three, strength), **told)
    encoded = runtime.generate(asked)
    ((recorded,),) = encoded.tapes
    assert recorded.shape == (round(20 * strength), 256)
    assert np.abs(recorded).max(axis=1).min() > 0.5  # no page was left out
    start = Start(strength=strength, buffers={"recorded": recorded})
    again, edited = runtime.generate(
        [Request(c, seed=77, solver=NoiseReplay(), start=start, **told) for c in (3, 5)]
    )
    assert error(again.flat[0], encoded.flat[0]) < 1e-5
    assert (classes(again), classes(edited)) == ([3], [5])


@pytest.mark.parametrize("begin", [Noised.ALREADY, "truncated"])
def test_an_inverted_digit_comes_back_at_first_order(
    runtime: Runtime, three: np.ndarray, begin: object
) -> None:
    """Halved by twice the steps; from t = 1 of the flow, where no truncated spacing begins."""
    errors = []
    for steps in (40, 80):
        told: dict = {"steps": steps, "guidance": Unguided()}
        if begin == "truncated":
            told["schedule"] = Levels((9.0, *np.geomspace(8.0, 0.02, steps - 1), 0.0))
        up = runtime.generate(Request(3, solver=Inverse(DDIM()), start=Start(three, 1.0), **told))
        start = Start(up.flat[0], 1.0, noised=Noised.ALREADY)
        if begin == "truncated":
            start = Start(up.flat[0], 1.0)
            told["schedule"] = Truncated(told["schedule"], 9.0)
        back = runtime.generate(Request(3, solver=DDIM(), start=start, **told))
        assert classes(back) == [3]
        errors.append(np.sqrt(np.mean((back.flat[0] - three) ** 2)))
    assert errors[0] < 0.05
    assert 1.5 < errors[0] / errors[1] < 2.6


def test_half_a_run_goes_on_where_it_was_left(runtime: Runtime) -> None:
    """Up half the way and down again, and not as if the latent were clean."""
    told = {"steps": 40, "guidance": Unguided()}
    picture = runtime.generate(Request(7, seed=2)).flat[0]
    up = runtime.generate(Request(7, solver=Inverse(DDIM()), start=Start(picture, 0.4), **told))
    down = Request(7, solver=DDIM(), start=Start(up.flat[0], 0.4, noised=Noised.ALREADY), **told)
    back = runtime.generate(down)
    assert back.nfe == up.nfe == 16
    assert np.abs(back.flat[0] - picture).max() < 0.15
    clean = runtime.generate(Request(7, solver=DDIM(), start=Start(up.flat[0], 0.4), **told))
    assert np.abs(clean.flat[0] - picture).max() > 0.5


def test_images_share_the_buffers_and_have_tapes_of_their_own(
    runtime: Runtime, three: np.ndarray
) -> None:
    """More images than slots; image i is what it is in a smaller request."""
    told = {"seed": 9, "solver": NoiseEncoder(), "start": Start(three, 0.4), "steps": 10}
    many, few = (runtime.generate(Request(3, images=n, **told)) for n in (11, 2))
    assert [len(tapes) for tapes in many.tapes] == [1] * 11
    for image in range(2):
        np.testing.assert_array_equal(many.tapes[image][0], few.tapes[image][0])
    assert error(many.tapes[0][0], many.tapes[10][0]) > 0.5
    start = Start(strength=0.4, buffers={"recorded": many.tapes[10][0].reshape(4, 1, 16, 16)})
    again = runtime.generate(Request(3, images=9, solver=NoiseReplay(), start=start, steps=10))
    for flat in again.flat:
        np.testing.assert_array_equal(flat, again.flat[0])
    assert error(again.flat[0], many.flat[10]) < 1e-5


def test_previews_take_no_place_among_the_tapes(runtime: Runtime, three: np.ndarray) -> None:
    asked = Request(3, seed=9, solver=NoiseEncoder(), start=Start(three, 0.5), steps=10)
    ticket = runtime.submit(asked, previews=2)
    shown = [event for event in ticket.events() if isinstance(event, Preview)]
    plain, watched = runtime.generate(asked), ticket.result(60)
    assert shown
    assert [tape.shape for tape in watched.tapes[0]] == [(5, 256)]
    np.testing.assert_array_equal(watched.tapes[0][0], plain.tapes[0][0])
    euler = runtime.submit(Request(3, steps=4), previews=1)
    assert euler.result(60).tapes == ((),)


def test_the_plan_counts_buffers_and_tapes(runtime: Runtime, three: np.ndarray) -> None:
    """Tapes of every image, buffers once; a solver without them costs as before."""
    page, start = 256 * 4, Start(three, 1.0)
    one, four = (
        runtime.plan(Request(3, steps=10, images=images, solver=NoiseEncoder(), start=start))
        for images in (1, 4)
    )
    assert "0.0098 MiB of the memory are its tapes and buffers" in str(one)
    assert four.memory_bytes - one.memory_bytes == 3 * 10 * page
    assert not runtime.plan(Request(3, steps=10, images=4)).notes

    def replay(steps: int, images: int, **limits: int) -> int:
        start = Start(buffers={"recorded": np.zeros((steps, 256))})
        told = {"steps": steps, "images": images, "limits": Limits(**limits)}
        return runtime.plan(Request(3, solver=NoiseReplay(), start=start, **told)).memory_bytes

    needed = replay(10, 4)
    assert (needed - replay(10, 1), needed - replay(4, 4)) == (0, 6 * page)
    with pytest.raises(OutOfMemory, match=f"its plan needs {needed}"):
        replay(10, 4, memory_bytes=needed - 1)


@contextmanager
def on_tensors(path: Path, device: str) -> Iterator[Runtime]:
    """A runtime whose pool lives on the torch device, two slots."""
    found = Bundle.open(path)
    card = found.card
    engine = TorchEngine(path / "graphs" / "denoiser.onnx", path, device=device)
    parts = [Components(Denoiser.of(engine, card), device=TorchDevice(device))]
    runtime = Runtime(found, choose(found), parts, Options(2, 64))
    try:
        yield runtime
    finally:
        runtime.close(drain_s=0)


def test_the_torch_device_reads_and_writes_the_same(
    digits_bundle: Path, runtime: Runtime, three: np.ndarray, kernel_device: str
) -> None:
    """Every kind of buffer and tape at once, on two slots."""
    told = {"steps": 5, "schedule": FINITE, "guidance": CFG(2.0)}
    solver = DPMSolverV3(2)
    arrays = solver.externals(LEVELS.grid(runtime.card.training.schedule, 5), clean_statistics(101))
    start = Start(three, 1.0)
    pairs = [Request(3, solver=Inverse(each), start=start, **told) for each in (EDICT(), BDIA())]
    ups = runtime.generate(pairs)
    encoder = Request(3, seed=9, images=3, solver=NoiseEncoder(), start=start, steps=5)
    recorded = runtime.generate(encoder).tapes[2][0]
    requests = [
        *pairs,
        encoder,
        *(
            Request(
                8, solver=pair, start=Start(up.flat[0], 1.0, {"second": up.tapes[0][0]}), **told
            )
            for pair, up in zip((COUPLED[0][1], COUPLED[2][1]), ups, strict=True)
        ),
        Request(3, solver=NoiseReplay(), start=Start(buffers={"recorded": recorded}), steps=5),
        Request(3, images=2, solver=solver, start=Start(buffers=arrays), steps=5, schedule=LEVELS),
        Request(3, solver=DDIM(), start=Start(three, 0.6, noised=Noised.ALREADY), steps=5),
    ]
    with on_tensors(digits_bundle, kernel_device) as other:
        found = other.generate(requests)
    for mine, wanted in zip(found, runtime.generate(requests), strict=True):
        assert error(mine.flat, wanted.flat) < PLACES
        for tapes, pages in zip(mine.tapes, wanted.tapes, strict=True):
            for one, two in zip(tapes, pages, strict=True):
                assert one.shape == two.shape
                assert error(one, two) < PLACES

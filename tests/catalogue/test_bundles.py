"""Papers that the whole runtime serves: compiled networks, requests, pictures."""

from dataclasses import replace
from itertools import pairwise

import diffusers
import numpy as np
import pytest

from denoisert.kernels.philox import reference as philox
from denoisert.runtime import (
    CFG,
    DDIM,
    DDPM,
    Bounded,
    Clip,
    Condition,
    Request,
    ResidualBridge,
    Runtime,
    Start,
    Trailing,
    Unguided,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Cosine, Linear, ResidualBridgePath
from tests.catalogue.bundled import SIZE, Listener
from tests.export.families.oracles import opened, text_to_image
from tests.runtime.bundles import compiled, watched
from tests.runtime.networks import convolution, perceptron

RNG = np.random.default_rng(0)
PIXELS = SIZE[1] * SIZE[2]


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A network of six mask channels and a runtime on its bundle."""
    network = Listener.random(6, seed=1, time_gain=0.001)
    sampler = Recommended(DDIM(), Trailing(), 5)
    folder = tmp_path_factory.mktemp("masked")
    path = network.compile(folder, Training(Parametrisation.EPS, Linear()), sampler)
    with Runtime.open(path) as opened:
        yield network, opened


def masks(*channels):
    """Binary masks (6, H, W) with these channels on, in the left half."""
    found = np.zeros((6, *SIZE[1:]), np.float32)
    found[list(channels), :, : SIZE[2] // 2] = 1.0
    return found


@pytest.mark.paper(1)
def test_masks_of_a_picture_reach_its_lanes_alone(masked):
    """Requests with other masks beside each other are bit for bit as alone, and as a loop."""
    network, runtime = masked
    asked = [
        Request({"heard": masks(*on)}, seed=seed)
        for seed, on in enumerate([(0,), (0, 3), (5,), ()], 1)
    ]
    together = [result.flat[0] for result in runtime.generate(asked)]
    for request, found in zip(asked, together, strict=True):
        np.testing.assert_array_equal(found, runtime.generate(request).flat[0])
        grid = Trailing().grid(Linear(), 5)
        x = philox.normals(request.seed, draw=0, image=0, count=PIXELS)
        for step in range(5):
            now, after = grid[step], grid[step + 1]
            eps = network(x, now.model_time, request.condition["heard"])
            x = after.alpha * (x - now.sigma * eps) / now.alpha + after.sigma * eps
        np.testing.assert_allclose(found, x, atol=2e-4 * np.abs(x).max())
    one, both = (
        runtime.generate(Request({"heard": masks(*on)}, seed=1)).flat[0] for on in ((0,), (0, 3))
    )
    assert np.abs(one - both).max() > 0.01


@pytest.mark.paper(1)
def test_another_number_of_mask_channels_is_refused_before_any_work(masked):
    _, runtime = masked
    for wrong in (np.zeros((5, *SIZE[1:]), np.float32), np.zeros((6, 3, 3), np.float32)):
        with pytest.raises(InvalidInput, match="heard"):
            runtime.plan(Request({"heard": wrong}))


@pytest.mark.paper(30)
def test_a_volume_is_a_state_like_any_other(tmp_path):
    """A network of three-dimensional convolutions, compiled and run, beside a loop in float64."""
    toy = convolution(seed=4, layout=StateLayout((Part("latent", (2, 3, 4, 5)),)))
    with Runtime.open(compiled(toy, tmp_path)) as runtime:
        result = runtime.generate(Request(3, seed=5, steps=4))
    assert result.latents["latent"].shape == (1, 2, 3, 4, 5)
    x = philox.normals(5, draw=0, image=0, count=120)
    for t in (1.0, 0.75, 0.5, 0.25):
        x = x - 0.25 * toy.answer(x, t, 3)
    np.testing.assert_allclose(result.flat[0], x, atol=2e-5)


@pytest.mark.paper(116)
def test_vectors_are_sampled_with_clamped_estimates(tmp_path):
    """The released `sample`: x0 clamped, the posterior mean and variance of cosine betas."""
    count, width = 40, 48
    toy = perceptron(
        seed=6, layout=StateLayout((Part("latent", (width,)),)), time_gain=0.02, gain=2.0
    )
    card = {
        "training": Training(Parametrisation.X0, Cosine(count)),
        "sampler": Recommended(Bounded(DDPM(), Clip(-1.0, 1.0)), Trailing(), count),
    }
    with Runtime.open(compiled(toy, tmp_path, **card)) as runtime:
        found = runtime.generate(Request(3, seed=7, guidance=Unguided())).flat[0]
    beta = Cosine(count).betas()
    kept = np.cumprod(1 - beta)
    before = np.append(1.0, kept[:-1])
    x, clamped = philox.normals(7, draw=0, image=0, count=width), 0
    for t in reversed(range(count)):
        clean = toy.answer(x, float(t), 3)
        clamped += (np.abs(clean) > 1).sum()
        mean = beta[t] * np.sqrt(before[t]) / (1 - kept[t]) * np.clip(clean, -1, 1)
        mean += (1 - before[t]) * np.sqrt(1 - beta[t]) / (1 - kept[t]) * x
        noise = philox.normals(7, draw=count - t, image=0, count=width) if t else 0.0
        x = mean + np.sqrt(beta[t] * (1 - before[t]) / (1 - kept[t])) * noise
    np.testing.assert_allclose(found, x, atol=2e-4)
    assert clamped > 20


@pytest.mark.paper(106)
@pytest.mark.parametrize("steps", [2, 10])
def test_a_bridge_runs_from_the_degraded_picture_which_the_network_hears(tmp_path, steps):
    """The published loop: x = mu first, then mu + Theta (x0 - mu) + what is left of the noise."""
    network = Listener.random(1, seed=2, time_gain=0.01)
    sampler = Recommended(Bounded(ResidualBridge(), Clip(-1.0, 1.0)), Trailing(), steps)
    training = Training(Parametrisation.X0, ResidualBridgePath())
    mu = RNG.uniform(-1, 1, SIZE).astype(np.float32)
    with Runtime.open(network.compile(tmp_path, training, sampler)) as runtime:
        request = Request(Condition({"heard": mu}), start=Start(mu, 1.0))
        found = runtime.generate(request).flat[0]
        other = runtime.generate(Request(Condition({"heard": mu}), start=Start(-mu, 1.0))).flat[0]
    np.testing.assert_allclose(found, bridged(network, mu.ravel().astype(float), steps), atol=1e-5)
    assert np.abs(found - other).max() > 1e-3


def bridged(network, mu, steps):
    """RDBM's sampler over its cosine betas, in float64."""
    bar = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2  # noqa: E731
    u = np.arange(101) / 100
    done = np.cumsum(np.minimum(1 - bar(u[1:]) / bar(u[:-1]), 0.999))
    left, whole = done[-1] - done, np.sinh(done[-1])
    theta = np.sinh(left) / whole
    sigma = np.sqrt(2 * 10 / 255 * np.sinh(done) * np.sinh(left) / whole)
    x = mu
    for now, then in pairwise(np.linspace(-1, 99, steps + 1).astype(int)[::-1]):
        clean = np.clip(network(x, now, mu), -1, 1)
        if then < 0:
            return clean
        ratio = 0.0 if now == 99 else sigma[then] / sigma[now]
        pull = theta[then] - (0.0 if now == 99 else theta[now] * ratio)
        x = mu + ratio * (x - mu) + pull * (clean - mu)
    return x


@pytest.mark.paper(106)
@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_rows_of_the_bridge_keep_its_decomposition(steps):
    """x = mu + Theta (x0 - mu) + Sigma eps goes to the next Theta and Sigma; the start divides
    by no Sigma.
    """
    grid = Trailing().grid(ResidualBridgePath(), steps)
    rows = ResidualBridge().rows(grid)
    assert np.isfinite(rows.registers).all()
    assert (grid[0].alpha, grid[0].sigma) == (0.0, 0.0)
    mu, clean, eps = RNG.standard_normal(3)
    basis = rows.basis
    for step in range(1, steps):
        now, after = grid[step], grid[step + 1]
        x = mu + now.alpha * (clean - mu) + now.sigma * eps
        columns = x * basis.registers[0] + clean * basis.denoised + mu * basis.external(0)
        wanted = mu + after.alpha * (clean - mu) + after.sigma * eps
        assert rows.registers[step + 1, 0] @ columns == pytest.approx(wanted, abs=1e-6)


@pytest.mark.paper(83)
def test_requests_of_other_step_counts_share_a_batch_and_are_as_alone(tmp_path):
    """The table is the one of that count; evaluations are those of each alone."""
    runtime, spy = watched(compiled(perceptron(seed=7), tmp_path))
    with runtime:
        asked = [Request(digit, seed=digit, steps=2 + 3 * digit) for digit in range(5)]
        together = runtime.generate(asked)
        shared = len(spy.runs)
        for request, result in zip(asked, together, strict=True):
            alone = runtime.generate(request)
            np.testing.assert_array_equal(result.flat, alone.flat)
            assert result.nfe == alone.nfe == runtime.plan(request).nfe == request.steps
        assert shared < sum(result.nfe for result in together)  # they went in batches
        first, last = (runtime.generate(replace(asked[0], steps=n)).flat for n in (2, 14))
        assert np.abs(first - last).max() > 1e-3


@pytest.mark.paper(101)
def test_words_become_the_pictures_of_diffusers(text_bundle, tiny_text_folder):
    """Text encoder, network and decoder of a small folder, on the same noise, guided."""
    scheduler = diffusers.DDIMScheduler.from_pretrained(
        tiny_text_folder, subfolder="scheduler", clip_sample=False
    )
    request = Request(
        Condition("red apple", "green"), seed=3, steps=6, solver=DDIM(), guidance=CFG(4.0), images=2
    )
    with Runtime.open(text_bundle, threads=1) as runtime:
        result = runtime.generate(request)
        other = runtime.generate(Request(Condition("octopus", "green"), seed=3, steps=6, images=2))
        theirs = text_to_image(
            tiny_text_folder, request, pipeline=opened(tiny_text_folder, scheduler=scheduler)
        )
    found = result.latents["latent"]
    assert np.abs(found - theirs.latents).max() < 1e-3 * np.abs(theirs.latents).max()
    pixels = np.stack([np.asarray(image) for image in result.images]).astype(int)
    assert np.abs(pixels - theirs.pixels).max() <= 2
    assert np.abs(other.latents["latent"] - found).max() > 1e-3

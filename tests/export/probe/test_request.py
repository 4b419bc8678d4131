"""A probed sampler through a whole request: what its own loop gives with the same network."""

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from denoisert.export.probe import probe_function, probe_scheduler
from denoisert.kernels.philox import reference as philox
from denoisert.runtime import CFG, Request, Runtime
from denoisert.runtime.errors import InvalidInput
from tests.export.probe import samplers
from tests.runtime.bundles import NOISE_SAMPLER, NOISE_TRAINING, compiled
from tests.runtime.networks import NULL, perceptron
from tests.runtime.spies import error

LABEL, SEED, SCALE = 3, 5, 2.5
SIGMAS = [10.0, 4.0, 1.5, 0.5, 0.0]
TOY = perceptron(seed=8, time_gain=1e-3, gain=0.3)
SHAPE = (1, *TOY.shape.layout.parts[0].shape)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    return compiled(TOY, folder, training=NOISE_TRAINING, sampler=NOISE_SAMPLER)


def noise():
    count = TOY.shape.layout.elements
    drawn = philox.normals(SEED, draw=0, image=0, count=count, dtype=np.float64)
    return torch.from_numpy(drawn).reshape(SHAPE)


def guided(x, time):
    """eps of the toy with classifier-free guidance, in float64."""
    cond, uncond = (TOY.answer(x.numpy().reshape(-1), time, label) for label in (LABEL, NULL))
    return torch.from_numpy(uncond + SCALE * (cond - uncond)).reshape(SHAPE)


def found(bundle, probed, **fields):
    with Runtime.open(bundle) as runtime:
        asked = {"solver": probed, "schedule": probed.schedule} | fields
        request = Request(LABEL, seed=SEED, guidance=CFG(SCALE), **asked)
        result = runtime.generate(request)
        assert runtime.plan(request).steps == probed.steps
        assert result.nfe == 2 * probed.stages
    return np.ravel(result.flat[0])


def unipc(steps=6):
    scheduler = UniPCMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", solver_order=3
    )
    scheduler.set_timesteps(steps)
    return scheduler


def test_a_scheduler(bundle):
    scheduler, x = unipc(), noise()
    for time in scheduler.timesteps:
        x = scheduler.step(guided(x, float(time)), time, x).prev_sample
    assert error(found(bundle, probe_scheduler(unipc)), x.numpy().reshape(-1)) < 1e-4


def test_a_function_probed_for_the_bundle_s_path(bundle):
    schedule = NOISE_TRAINING.schedule
    probed = probe_function(samplers.heun, SIGMAS, schedule=schedule)

    def model(x_ve, level):
        (alpha,), (sigma,) = schedule.coordinates(np.array([float(level)]))
        x = alpha * x_ve
        eps = guided(x, float(schedule.model_time(np.array([float(level)]))[0]))
        return (x - sigma * eps) / alpha

    levels = torch.tensor(SIGMAS, dtype=torch.float64)
    # The request's latent starts as sigma times the noise of the request, in coordinates of x.
    x_ve = samplers.heun(model, SIGMAS[0] * noise(), levels, callback=lambda _: None)
    assert error(found(bundle, probed), x_ve.numpy().reshape(-1)) < 1e-5


def test_steps_may_be_left_out_or_right(bundle):
    probed = probe_scheduler(lambda: unipc(3))
    np.testing.assert_array_equal(found(bundle, probed), found(bundle, probed, steps=3))
    with pytest.raises(InvalidInput, match=r"probed at 3 steps, and 4 were asked"):
        found(bundle, probed, steps=4)


def test_the_card_s_own_schedule_is_another_one(bundle):
    """The message says what to add to the request."""
    probed = probe_scheduler(lambda: unipc(NOISE_SAMPLER.steps))
    with pytest.raises(InvalidInput, match=r"schedule=probed\.schedule"):
        found(bundle, probed, schedule=None)

"""Denoisers of the torch device's tests; each is made once for a device."""

import pytest
import torch

from tests.runtime.devices.torch.pointwise import SMALL, pointwise
from tests.runtime.devices.torch_places import apart, torch_denoiser, torch_run
from tests.runtime.networks import perceptron
from tests.runtime.spies import error, exact, run


@pytest.fixture(scope="session")
def placed(tmp_path_factory):
    """`placed(toy, device, dtype)`, the toy's denoiser there."""
    made = {}

    def place(toy, device, dtype="float32"):
        key = (toy, device, dtype)
        if key not in made:
            made[key] = torch_denoiser(toy, tmp_path_factory.mktemp("toy"), device, dtype)
        return made[key]

    return place


@pytest.fixture(scope="session")
def toy():
    """A latent of 4 x 4 x 4, mixed by matrices."""
    return perceptron(layout=SMALL)


@pytest.fixture(scope="session")
def steady_toy():
    """Its lanes do not depend on each other in a single bit."""
    return pointwise()


@pytest.fixture(scope="session")
def breaking_toy():
    """Class 7 becomes NaN at the third of six steps, shift 1."""
    return pointwise(breaks=(7, 4 / 6))


@pytest.fixture
def denoiser(placed, toy, kernel_device):
    return placed(toy, kernel_device)


@pytest.fixture
def steady(placed, steady_toy, kernel_device):
    return placed(steady_toy, kernel_device)


@pytest.fixture
def breaking(placed, breaking_toy, kernel_device):
    return placed(breaking_toy, kernel_device)


@pytest.fixture
def check(placed, kernel_device):
    """Runs works on both devices, together; each must be near the other, and the reference."""

    def compare(toy, works, labels=None, *, slots=4):
        found = torch_run(placed(toy, kernel_device), works, kernel_device, slots=slots)
        beside = run(placed(toy, "cpu"), works, slots=slots)
        for index, (each, mine, other) in enumerate(zip(works, found, beside, strict=True)):
            assert mine.error is None
            assert error(mine.latent, other.latent) <= apart(each.table)
            for tape, page in zip(mine.tapes, other.tapes, strict=True):
                assert error(tape, page) <= apart(each.table)
            if labels is not None:
                wanted = exact(toy, each, labels[index])
                assert error(mine.latent, wanted.latent) <= apart(each.table)

    return compare


@pytest.fixture(autouse=True)
def quiet_device():
    """Calls of one engine share its arena: what a test has left running ends before the next."""
    yield
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@pytest.fixture(autouse=True, scope="module")
def settings():
    """Convolutions in float32, not in TF32; one thread, the networks are too small for two."""
    before = torch.backends.cudnn.allow_tf32, torch.get_num_threads()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1)
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_num_threads(before[1])

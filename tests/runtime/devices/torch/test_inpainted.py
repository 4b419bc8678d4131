"""A picture that is partly kept: the torch device, the NumPy device and the reference agree."""

import numpy as np
import pytest

from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    DPMpp2MSDE,
    Heun,
    Inpainted,
    KnownNoise,
    UniPC,
)
from tests.runtime.devices.torch.pointwise import SMALL
from tests.runtime.devices.torch_places import torch_alone
from tests.runtime.spies import work

LABELS = (4, 2)
SOLVERS = (DDIM(1.0), Heun(), DPMpp2M(), DPMpp2MSDE(), UniPC())


def painted(solver, noise, strength, seed):
    """A work that keeps half of a latent."""
    rng = np.random.default_rng(seed)
    source = rng.standard_normal((1, SMALL.elements)).astype(np.float32)
    mask = rng.integers(0, 2, (1, SMALL.elements)).astype(np.float32)
    grid = Trailing().grid(Flow(shift=1.5), 6).tail(strength)
    table = fold(Inpainted(solver, noise).rows(grid), Parametrisation.FLOW, CFG(2.0))
    pages = {"source": source, "mask": mask, "kept": 1 - mask}
    return work(table, LABELS, seed=seed, externals=pages)


@pytest.mark.parametrize("noise", KnownNoise)
def test_solvers(check, toy, noise):
    works = [painted(each, noise, 0.5, seed) for seed, each in enumerate(SOLVERS)]
    check(toy, works, [LABELS] * len(works))


def test_what_is_kept_is_kept_bit_for_bit(denoiser, kernel_device):
    each = painted(DPMpp2M(), KnownNoise.FIXED, 1.0, 9)
    found = torch_alone(denoiser, each, kernel_device).latent
    kept = each.externals["kept"][0] == 1
    source = each.externals["source"][0]
    assert np.array_equal(found[kept].view(np.uint32), source[kept].view(np.uint32))
    assert np.abs(found - source)[~kept].min() > 0

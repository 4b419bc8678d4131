"""Requests of two sizes on one device: two pools with a stage each, on one engine."""

from contextlib import contextmanager

import numpy as np
import pytest

from denoisert.runtime import CFG, Request
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import Components
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.options import Options
from denoisert.runtime.runtime import Runtime
from tests.runtime.sized import sized_bundle, sized_card
from tests.runtime.spies import error

SIZES = ((3, 2), (2, 4))
REQUESTS = [
    Request(1, seed=3, size=SIZES[0], steps=4, guidance=CFG(2.0)),
    Request(4, seed=3, size=SIZES[1], steps=3),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return sized_bundle(tmp_path_factory.mktemp("sized"), sized_card(*SIZES))


@contextmanager
def opened(path, device):
    """A runtime of two slots on the bundle's graph in the torch engine."""
    found = Bundle.open(path)
    engine = TorchEngine(path / "graphs" / "denoiser.onnx", path, device=device)
    components = Components(Denoiser.of(engine, found.card), device=TorchDevice(device))
    runtime = Runtime(found, choose(found), [components], Options(2, 64))
    try:
        yield runtime
    finally:
        runtime.close(drain_s=0)


def test_sizes_that_run_together_are_what_each_is_alone(bundle, kernel_device):
    with opened(bundle, kernel_device) as runtime:
        together = runtime.generate(REQUESTS)
        (loop,) = runtime._crew.loops
        stages = {id(pool.memory._stage) for pool in loop._pools.made}
        assert len(stages) == 2
        assert runtime.stats()["ticks"] == 7
    for request, found in zip(REQUESTS, together, strict=True):
        with opened(bundle, kernel_device) as runtime:
            assert np.array_equal(found.flat, runtime.generate(request).flat)
    with Runtime.open(bundle, threads=1) as runtime:
        for mine, other in zip(together, runtime.generate(REQUESTS), strict=True):
            assert error(mine.flat, other.flat) < 1e-5

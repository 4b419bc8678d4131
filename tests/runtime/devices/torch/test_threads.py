"""A runtime whose pool lives on the torch device: every ticket ends once, whatever happens."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from denoisert.runtime import Request, Runtime
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import Components
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.errors import DeviceLost, EngineError, NonFinite, OutOfMemory
from denoisert.runtime.options import Options
from tests.runtime.bundles import compiled
from tests.runtime.devices.torch.pointwise import pointwise
from tests.runtime.devices.torch_places import TensorSpy
from tests.runtime.spies import error


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Class 7 becomes NaN at the third of five steps."""
    return compiled(pointwise(breaks=(7, 0.6)), tmp_path_factory.mktemp("pointwise"))


@contextmanager
def opened(path, device, before=None):
    """A runtime on the bundle's graph in the torch engine, two slots."""
    found = Bundle.open(path)
    card = found.card
    engine = TorchEngine(path / "graphs" / "denoiser.onnx", path, device=device)
    spy = TensorSpy(engine, before=before)
    components = Components(Denoiser.of(spy, card), device=TorchDevice(device))
    runtime = Runtime(found, choose(found), [components], Options(2, 64))
    try:
        yield runtime
    finally:
        runtime.close(drain_s=0)


def raising(*errors):
    """Runs of the engine that fail, None where one does not; those after them do not."""
    planned = iter(errors)

    def before(buffers):
        error = next(planned, None)
        if error is not None:
            raise error

    return before


def test_pictures_are_those_of_the_cpu(bundle, kernel_device):
    requests = [Request(1, seed=2**63 + 5, images=2), Request(7), Request(2, seed=3, steps=3)]
    with opened(bundle, kernel_device) as runtime:
        found = runtime.generate(requests)
    with Runtime.open(bundle, threads=1) as runtime:
        wanted = runtime.generate(requests)
    for mine, other in zip(found, wanted, strict=True):
        assert type(mine.error) is type(other.error)
        if mine.error is None:
            assert error(mine.flat, other.flat) < 1e-5
    assert isinstance(found[1].error, NonFinite)
    assert "at stage 3 of 5" in str(found[1].error)


def test_failed_ticks_end_their_requests_and_the_loop_goes_on(bundle, kernel_device):
    before = raising(
        None, EngineError("injected"), RuntimeError("injected"), torch.OutOfMemoryError("injected")
    )
    with opened(bundle, kernel_device, before) as runtime:
        results = runtime.generate([Request(i, seed=i, steps=2) for i in range(7)])
        kinds = [type(result.error) for result in results]
        assert kinds == [EngineError] * 4 + [OutOfMemory] * 2 + [type(None)]
        stats = runtime.stats()
    assert (stats["requests_failed"], stats["requests_done"]) == (6, 1)


def test_a_lost_device_ends_every_ticket_once(bundle, kernel_device):
    """Those that run, those that wait, and those that come after."""
    gate = threading.Event()

    def before(buffers):
        assert gate.wait(60)
        raise RuntimeError("injected: an illegal memory access was encountered")

    with opened(bundle, kernel_device, before) as runtime:
        (loop,) = runtime._crew.loops
        stage = loop._pool.memory._stage
        stage._failure = lambda what, error: DeviceLost(f"{what} failed: {error}")
        tickets = [runtime.submit(Request(1, seed=i, images=1 + i % 2)) for i in range(6)]
        gate.set()
        for ticket in tickets:
            with pytest.raises(EngineError, match="illegal memory access") as caught:
                ticket.result(60)
            assert ticket.is_done
            with pytest.raises(EngineError) as again:
                ticket.result(0)
            assert again.value is caught.value
        with pytest.raises(EngineError):
            runtime.submit(Request(1))


def test_warming_beside_requests(bundle, kernel_device):
    with opened(bundle, kernel_device) as runtime:
        ticket = runtime.submit(Request(1, seed=5, steps=4))
        runtime.warm()
        found = ticket.result(60).flat
        again = runtime.generate(Request(1, seed=5, steps=4)).flat
    assert np.array_equal(found, again)

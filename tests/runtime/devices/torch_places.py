"""Toys on the torch target: the same networks and pools, on tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.sampling.table import COUNTER_NOISE
from tests.runtime.networks import Toy
from tests.runtime.spies import Spy, _SpiedCall, bound, finish

NOISE_APART = 2e-6  # normals of one counter on two devices
SOLO = {}


def torch_denoiser(toy: Toy, folder: Path, device: str, dtype: str = "float32") -> Denoiser:
    """A toy in the torch engine."""
    engine = TorchEngine(toy.save(folder), folder, device=device, dtype=dtype)
    return Denoiser(engine, toy.network, toy.conditions, toy.shape.layout)


def torch_pool(denoiser: Denoiser, device: str, *, most_graphs: int = 32, **options) -> Pool:
    """A pool on a torch device."""
    return Pool(denoiser.layout, [denoiser], TorchDevice(device, most_graphs), **options)


def torch_run(denoiser: Denoiser, works, device: str, **options):
    """Every work through one new pool, all submitted at once."""
    pool = torch_pool(denoiser, device, **options)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    return [pool.take(number) for number in numbers]


def torch_alone(denoiser: Denoiser, each, device: str):
    """One work in a new pool of its own; equal works run once."""
    pages = tuple((name, page.tobytes()) for name, page in each.externals.items())
    who = (each.table.fingerprint, str(each.conditions), each.seed, each.image, each.loop)
    key = (denoiser.engine, device, who, pages, each.previews)
    if key not in SOLO:
        (SOLO[key],) = torch_run(denoiser, [each], device, slots=1)
    return SOLO[key]


class TensorSpy(Spy):
    """A spy on an engine whose buffers are tensors."""

    def bind(self, bucket, buffers):
        self.binds.append((bucket, buffers[self.inputs[0].name].data_ptr()))
        return _SpiedCall(self, bucket, self.engine.bind(bucket, buffers), buffers)


def torch_spied(denoiser: Denoiser, **options) -> tuple[Denoiser, TensorSpy]:
    """The same denoiser with a spy for its engine."""
    spy = TensorSpy(denoiser.engine, **options)
    return Denoiser(spy, denoiser.network, denoiser.conditions, denoiser.layout), spy


def apart(table) -> float:
    """How far two devices may be from each other at the end of a table, relative to its size.

    What rounding may cost, and 2e-6 for every normal, times its gain and the gain of the register
    that takes it up to the end.
    """
    return bound(table) + NOISE_APART * max(_noise(table, maps) for maps in (0.0, 1.0))


def _noise(table, maps: float) -> float:
    form, total = table.form, 0.0
    drawn = [form.draw(q) for q, source in enumerate(table.noise_source) if source == COUNTER_NOISE]
    onward = np.eye(1, form.registers)[0]
    for row in range(table.stages, -1, -1):
        rows = table.resolved(row, maps)
        total += float(np.abs(onward @ rows[:, drawn]).sum())
        onward = onward @ rows[:, : form.registers]
    return total


def assert_same(found, wanted) -> None:
    """Two outcomes bit for bit."""
    assert found.error is None
    pairs = [(found.latent, wanted.latent), *zip(found.tapes, wanted.tapes, strict=True)]
    for mine, other in pairs:
        assert np.array_equal(mine.view(np.uint32), other.view(np.uint32))

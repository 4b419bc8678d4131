"""Toys on the torch target: the same networks and pools, on tensors."""

from __future__ import annotations

from pathlib import Path

from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.loop.pool import Pool
from tests.runtime.networks import Toy
from tests.runtime.spies import finish


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

"""DenoiseRT's own loop on a job: a pool of the job's slots, ticked until it is idle.

`place` is the one switch: it names the engine and the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.loop.job import SEED, Job
from bench.loop.shapes.files import Saved, Shape
from denoisert.runtime.bundle.card import Network, OutputSlice, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.devices.device import Device
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound, Engine, Port
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.asks import row_asks
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.loop.slot import Work
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear, Trailing
from denoisert.runtime.sampling.table import SamplerTable

TIME = "time"
CLASSES = 11  # labels that jobs use, and more


class Place(NamedTuple):
    """Where our loop runs.

    Args:
        engine: loads a written shape.
        device: holds the pool's memory.
    """

    engine: Callable[[Saved], Engine]
    device: Device


def place(device: str, dtype: str) -> Place:
    """Our engine and device.

    Args:
        device: "cpu" or "cuda".
        dtype: of the network; a CPU runs float32.

    Returns:
        The torch target on "cuda", ONNX Runtime and NumPy on "cpu".
    """
    if device == "cpu":
        return Place(lambda files: OrtEngine(files.graph, files.root, threads=1), NumpyDevice())
    from denoisert.runtime.devices.torch import TorchDevice
    from denoisert.runtime.engines.torch.engine import TorchEngine

    return Place(
        lambda files: TorchEngine(files.graph, files.root, device=device, dtype=dtype),
        TorchDevice(device),
    )


class Loop:
    """Our provider on one job.

    Args:
        job: what to compute.
        files: the written shape.
        where: engine and device.
    """

    def __init__(self, job: Job, files: Saved, where: Place) -> None:
        self._engine, self._job = where.engine(files), job
        denoiser = _denoiser(job.shape, self._engine)
        self._pool = Pool(denoiser.layout, [denoiser], where.device, slots=job.pictures)
        self._works = works(job)

    def run(self) -> np.ndarray:
        """(pictures, C, H, W) on the host."""
        numbers = [self._pool.submit(work) for work in self._works]
        while not self._pool.is_idle:
            tick(self._pool)
        outcomes = [self._pool.take(number) for number in numbers]
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        latents = [outcome.latent for outcome in outcomes if outcome.latent is not None]
        return np.stack(latents).reshape(-1, *self._job.shape.latent)

    def network(self) -> Bound:
        """The call that a tick makes, on the pool's own buffers; valid after a run."""
        lanes = self._job.lanes
        return self._engine.bind(lanes, self._pool.memory.buffers(0, 0, lanes))

    def close(self) -> None:
        """Release the engine."""
        self._pool.close()
        self._engine.close()


def table(job: Job) -> SamplerTable:
    """The job's sampler as a table."""
    rows = job.solver.rows(Trailing().grid(ScaledLinear(), job.steps))
    guidance = Unguided() if job.guidance == 1.0 else CFG(job.guidance)
    return fold(rows, Parametrisation.EPS, guidance)


def works(job: Job) -> list[Work]:
    """One work a picture."""
    sampler, conditions = table(job), job.conditions()
    asks = row_asks(sampler)
    return [
        Work(sampler, asks, conditions, seed=SEED, image=image) for image in range(job.pictures)
    ]


def _denoiser(shape: Shape, engine: Engine) -> Denoiser:
    noise = OutputSlice(shape.output.name, 0, shape.latent[0])
    network = Network(TIME, TimeShape.LANES, "float32", ((noise,),))
    layout = StateLayout((Part("latent", shape.latent),))
    return Denoiser(engine, network, tuple(map(_condition, shape.conditions)), layout)


def _condition(port: Port) -> ConditionInput:
    if port.dtype == "int64":
        return ConditionInput(port.name, Source.CLASS_LABEL, port.dtype, classes=CLASSES)
    return ConditionInput(port.name, Source.EXTERNAL_ARRAY, port.dtype, port.shape(1)[1:])

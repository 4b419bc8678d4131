"""DenoiseRT's own loop on a job: a pool of the job's slots, ticked until it is idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from bench.loop.job import SEED, Job
from bench.loop.places import Place
from bench.loop.shapes.files import Shape
from denoisert.runtime.bundle.card import Network, OutputSlice, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Bound, Engine, Port
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


class Middle(NamedTuple):
    """A run between its first tick and its last.

    Args:
        tick: one more of them.
        left: how many may follow before the last one.
        calls: what each of them runs of the engine.
    """

    tick: Callable[[], object]
    left: int
    calls: Sequence[Bound]


class Loop:
    """Our provider on one job.

    Args:
        job: what to compute.
        where: engine and device; the engine stays its owner's.
    """

    def __init__(self, job: Job, where: Place) -> None:
        self._job = job
        denoiser = _denoiser(job.shape, where.engine)
        self._pool = Pool(denoiser.layout, [denoiser], where.device, slots=job.pictures)
        self._works = works(job)

    def run(self) -> np.ndarray:
        """(pictures, C, H, W) on the host."""
        return self._finished(self._begun())

    @contextmanager
    def middle(self) -> Iterator[Middle]:
        """A run that has started; it is finished behind the block."""
        numbers = self._begun()
        tick(self._pool)
        yield Middle(lambda: tick(self._pool), self._job.steps - 2, self._pool.prepare())
        self._finished(numbers)

    def calls(self) -> Sequence[Bound]:
        """What a tick runs of the engine, on the pool's own buffers; they outlast the run."""
        with self.middle() as middle:
            return tuple(middle.calls)

    def close(self) -> None:
        """Release the pool's memory."""
        self._pool.close()

    def _begun(self) -> list[int]:
        return [self._pool.submit(work) for work in self._works]

    def _finished(self, numbers: Sequence[int]) -> np.ndarray:
        while not self._pool.is_idle:
            tick(self._pool)
        outcomes = [self._pool.take(number) for number in numbers]
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        latents = [outcome.latent for outcome in outcomes if outcome.latent is not None]
        return np.stack(latents).reshape(-1, *self._job.shape.latent)


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

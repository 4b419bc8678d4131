"""An engine that counts and fails on request, and the short way through a pool."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy

import numpy as np

from denoisert.kernels.philox import reference as philox
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.errors import EngineError
from denoisert.runtime.loop.asks import row_asks
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.loop.slot import Outcome, Work
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.sampling.oracle.execute import execute
from tests.runtime.networks import NULL


class Spy:
    """Passes everything on to an engine and keeps count.

    failing: numbers of the runs that raise an EngineError. before: called with the buffers ahead of
    every run.
    """

    def __init__(self, engine, *, failing=(), before: Callable | None = None) -> None:
        self.engine = engine
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.buckets = engine.buckets
        self.failing = set(failing)
        self.before = before
        self.binds: list[tuple[int, int]] = []
        self.runs: list[int] = []
        self.is_closed = False

    def workspace_bytes(self, bucket: int) -> int:
        return self.engine.workspace_bytes(bucket)

    def bind(self, bucket: int, buffers: Mapping[str, np.ndarray]):
        self.binds.append((bucket, buffers[self.inputs[0].name].ctypes.data))
        return _SpiedCall(self, bucket, self.engine.bind(bucket, buffers), buffers)

    def at(self, sizes: Mapping[str, int]) -> "Spy":
        """A spy on the engine at these sizes; it counts with this one."""
        engine = self.engine.at(sizes)
        if engine is self.engine:
            return self
        view = copy(self)
        view.engine, view.inputs, view.outputs = engine, engine.inputs, engine.outputs
        return view

    def close(self) -> None:
        self.is_closed = True
        self.engine.close()


class _SpiedCall:
    is_capturable = False

    def __init__(self, spy: Spy, bucket: int, bound, buffers) -> None:
        self.spy, self.bucket, self.bound, self.buffers = spy, bucket, bound, buffers

    def run(self, stream=None) -> None:
        self.spy.runs.append(self.bucket)
        if self.spy.before is not None:
            self.spy.before(self.buffers)
        if len(self.spy.runs) in self.spy.failing:
            raise EngineError("injected: the engine failed while running.")
        self.bound.run(stream)


def spied(denoiser: Denoiser, **options) -> tuple[Denoiser, Spy]:
    """The same denoiser with a spy for its engine."""
    spy = Spy(denoiser.engine, **options)
    return Denoiser(spy, denoiser.network, denoiser.conditions, denoiser.layout), spy


def work(table, labels: Sequence[int] = (1, NULL), **fields) -> Work:
    """A work of a table on a toy: condition c is class labels[c]."""
    conditions = tuple({"label": np.int64(label)} for label in labels)
    return Work(table, row_asks(table), conditions, **({"seed": 0} | fields))


def pool_of(denoiser: Denoiser, **options) -> Pool:
    return Pool(denoiser.layout, [denoiser], NumpyDevice(), **options)


def finish(pool: Pool) -> None:
    """Tick until nothing runs and nothing waits."""
    while not pool.is_idle:
        tick(pool)


def run(denoiser: Denoiser, works: Sequence[Work], **options) -> list[Outcome]:
    """Every work through one new pool, all submitted at once."""
    pool = pool_of(denoiser, **options)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    return [pool.take(number) for number in numbers]


def alone(denoiser: Denoiser, each: Work) -> Outcome:
    """One work in a new pool of its own."""
    return run(denoiser, [each], slots=1)[0]


def exact(toy, each: Work, labels: Sequence[int] = (1, NULL), network=None):
    """The float64 reference of a work, with the reference noise: `Run` of `execute`."""
    count = toy.shape.layout.elements
    noise = [
        philox.normals(
            each.seed, draw=draw, image=each.image, count=count, loop=each.loop, dtype=np.float64
        )
        for draw in range(max(1, int(each.table.draws.sum())))
    ]
    answer = network or toy.twin(labels)
    return execute(each.table, toy.shape.layout, answer, noise, each.externals)


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative error, max|difference| / max|reference|."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def bound(table) -> float:
    """What rounding may cost in float32."""
    return max(2e-6, 4 * 6e-8 * table.amplification)

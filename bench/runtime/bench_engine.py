"""One call of the digits denoiser: ONNX Runtime beside torch on the same graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np

from bench.case import Case, Run, Setting, Size, summary, timed
from bench.run import run
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.engine import Bound, Buffer, Engine, Port
from denoisert.runtime.engines.loading import DENOISER, load
from denoisert.runtime.engines.target import OnnxRuntime, Torch
from denoisert.runtime.measure.against import OURS
from denoisert.runtime.measure.record import Record

LANES = (1, 4, 16)
SEED = 7


def cases(size: Size) -> list[Case]:
    """Few and many lanes; TINY takes one."""
    lanes = LANES if size is Size.FULL else LANES[:1]
    return [Case(f"runtime/engine digits {n} lanes", partial(_measure, lanes=n)) for n in lanes]


def _measure(case: str, setting: Setting, *, lanes: int) -> Iterator[Record]:
    bundle, runs = Bundle.open(setting.bundle), {}
    with ExitStack() as stack:
        for target in (OnnxRuntime(), Torch("cpu")):
            engine = load(bundle, choose(bundle, target), DENOISER, setting.machine.cores)
            stack.callback(engine.close)
            name = OURS if isinstance(target, OnnxRuntime) else f"{OURS} {target.name}"
            runs[name] = _call(engine, lanes)
        for provider, values in timed(runs, setting).items():
            yield summary(case, provider, values, setting)


def _call(engine: Engine, lanes: int) -> Run:
    """A call on the same numbers for every engine."""
    random = np.random.default_rng(SEED)
    buffers = {port.name: _values(port, lanes, random) for port in engine.inputs}
    buffers |= {port.name: port.buffer(lanes) for port in engine.outputs}
    return partial(_run, engine.bind(lanes, buffers), buffers)


def _run(bound: Bound, buffers: dict[str, Buffer]) -> None:
    """Run a call whose buffers live as long as it does: an engine may know them by address only."""
    bound.run()


def _values(port: Port, lanes: int, random: np.random.Generator) -> Buffer:
    zeros = port.buffer(lanes)
    if zeros.dtype.kind != "f":
        return zeros
    return random.standard_normal(zeros.shape).astype(zeros.dtype)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

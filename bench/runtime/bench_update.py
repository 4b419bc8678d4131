"""A tick without its network: guidance and update of a 4 x 64 x 64 latent, per solver.

Beside diffusers' classifier-free guidance and scheduler step, over whole runs, in one interleaved
run. `denoisert` is all of a tick: admission, lane map, times, network inputs, guidance, update and
noise; `denoisert rows` is guidance and update alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from bench.case import Case, Run, Setting, Size, summary, timed
from bench.optional import where
from bench.run import run
from bench.runtime.idle import LAYOUT, idle_denoiser, rows_alone
from bench.runtime.upstream_steps import PAIRS, Pair, loop
from denoisert.kernels.philox import cpu as philox
from denoisert.runtime import CFG, Trailing
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.loop.asks import row_asks
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.loop.slot import Work
from denoisert.runtime.loop.tick import tick
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear
from denoisert.runtime.sampling.table import SamplerTable

STEPS, SCALE = 25, 7.5
ROUNDS = {Size.FULL: (2, 20), Size.TINY: (0, 1)}
SPARE = 5  # calls beyond the rounds: the yardstick's two and some


def cases(size: Size) -> list[Case]:
    """Every solver that diffusers has; TINY takes the first two."""
    pairs = PAIRS if size is Size.FULL else PAIRS[:2]
    return [
        Case(
            f"runtime/update 4x64x64 {type(pair.solver).__name__} as {pair.scheduler}",
            partial(_measure, pair=pair),
        )
        for pair in pairs
    ]


def _measure(case: str, setting: Setting, *, pair: Pair) -> Iterator[Record]:
    rounds = ROUNDS[setting.size]
    table = _table(pair)
    runs = sum(rounds) + SPARE
    providers = {
        "denoisert": _ours(table),
        "denoisert rows": rows_alone(table),
        **where("diffusers", lambda: {"diffusers": loop(pair, STEPS, SCALE, runs)}),
    }
    noise_us = _noise_us(setting) if pair.draws else 0.0
    for provider, values in timed(providers, setting, rounds=rounds).items():
        each = [1e3 * value / table.stages for value in values]
        extra: dict[str, float | str] = {"aim_share": pair.most, "stages": float(table.stages)}
        if provider == "denoisert" and pair.draws:
            extra["noise_us"] = round(noise_us, 1)
        yield summary(case, provider, each, setting, unit="us", warm_up=rounds[0], extra=extra)


def _table(pair: Pair) -> SamplerTable:
    rows = pair.solver.rows(Trailing().grid(ScaledLinear(), STEPS))
    return fold(rows, Parametrisation.EPS, CFG(SCALE))


def _ours(table: SamplerTable) -> Run:
    pool = Pool(LAYOUT, [idle_denoiser()], NumpyDevice(), slots=1)
    work = Work(table, row_asks(table), ({}, {}), seed=7)

    def update() -> np.ndarray:
        number = pool.submit(work)
        while not pool.is_idle:
            tick(pool)
        return pool.take(number).latent

    return update


def _noise_us(setting: Setting) -> float:
    out, space = np.empty(LAYOUT.elements, np.float32), philox.workspace(LAYOUT.elements)
    draw = partial(philox.normals, 7, draw=1, count=LAYOUT.elements, out=out, workspace=space)
    every = Setting(setting.size, setting.machine, setting.bundle)
    return 1e3 * percentile(timed({"noise": draw}, every)["noise"], 0.5)


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

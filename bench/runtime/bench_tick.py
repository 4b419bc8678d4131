"""How much of a tick is not the engine, on digits, per solver, guidance and number of slots.

The share counts everything around the network: admission, lane map, guidance, update, noise. What
noise alone costs is reported apart, because it is work that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

from bench.case import Case, Setting, Size, summary
from bench.run import run
from bench.runtime.draws import draw_us
from denoisert.runtime import (
    CFG,
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    Heun,
    Request,
    Runtime,
    Trace,
    Unguided,
)
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Record
from denoisert.runtime.measure.trace import Span
from denoisert.runtime.sampling.guidance import Guidance
from denoisert.runtime.sampling.solvers import Solver

SOLVERS: tuple[Solver, ...] = (Euler(), DDIM(), Heun(), DPMpp2M(), EulerAncestral())
GUIDANCE: tuple[Guidance, ...] = (CFG(2.0), Unguided())
SLOTS = (1, 8)
NS_PER_US = 1e3
AIM_PERCENT = 5.0
ROUNDS = {Size.FULL: (1, 8), Size.TINY: (0, 1)}  # runs of 25 steps; every tick is a value


def cases(size: Size) -> list[Case]:
    """Every combination; TINY takes the first solver with and without noise."""
    solvers = SOLVERS if size is Size.FULL else (SOLVERS[0], SOLVERS[-1])
    guidance, slots = (GUIDANCE, SLOTS) if size is Size.FULL else (GUIDANCE[:1], SLOTS[1:])
    return [_case(*each) for each in product(solvers, guidance, slots)]


def _case(solver: Solver, guidance: Guidance, slots: int) -> Case:
    branches = "cfg" if isinstance(guidance, CFG) else "unguided"
    name = f"runtime/tick digits {type(solver).__name__} {branches} {slots} slots"
    return Case(name, partial(_measure, solver=solver, guidance=guidance, slots=slots))


def _measure(
    case: str, setting: Setting, *, solver: Solver, guidance: Guidance, slots: int
) -> Iterator[Record]:
    if setting.provider not in (None, "denoisert"):
        return
    request = Request(3, images=slots, steps=25, solver=solver, guidance=guidance)
    warm_up, repeats = ROUNDS[setting.size]
    ticks, engines = [], []
    threads = setting.machine.cores
    with Runtime.open(setting.bundle, slots=slots, threads=threads) as runtime:
        for turn in range(warm_up + repeats):
            trace = Trace()
            runtime.generate(request, trace=trace)
            if turn >= warm_up:
                ticks += _lengths(trace.spans, "tick")
                engines += _lengths(trace.spans, "engine")
    shares = [100.0 * (1 - engine / tick) for tick, engine in zip(ticks, engines, strict=True)]
    tick_us, engine_us, overhead_us = (
        percentile(each, 0.5) / NS_PER_US
        for each in (ticks, engines, [a - b for a, b in zip(ticks, engines, strict=True)])
    )
    extra: dict[str, float | str] = {
        "aim_percent": AIM_PERCENT,
        "tick_us": round(tick_us, 1),
        "engine_us": round(engine_us, 1),
        "overhead_us": round(overhead_us, 1),
        "whole_run_percent": round(100.0 * (1 - sum(engines) / sum(ticks)), 2),
    }
    if isinstance(solver, EulerAncestral):
        noise_us = draw_us(slots, setting)
        rest = 100.0 * (overhead_us - noise_us) / tick_us
        extra |= {"noise_us": round(noise_us, 1), "percent_without_noise": round(rest, 2)}
    yield summary(case, "denoisert", shares, setting, unit="%", warm_up=warm_up, extra=extra)


def _lengths(spans: list[Span], name: str) -> list[int]:
    return [span.end_ns - span.start_ns for span in spans if span.name == name]


def main() -> None:
    """Measure this file's cases."""
    run(cases(Size.FULL))


if __name__ == "__main__":
    main()

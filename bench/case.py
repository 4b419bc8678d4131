"""What a benchmark is: a case measures its providers and turns the times into records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import perf_counter_ns

from denoisert.runtime.measure.clock import NS_PER_MS, interleaved
from denoisert.runtime.measure.percentiles import percentile
from denoisert.runtime.measure.record import Machine, Record

Run = Callable[[], object]
Extra = dict[str, float | str]

SHELF = Path(__file__).parents[1] / "demo" / "shapes"  # ignored by git
SAMPLE_MS = 1.0  # one timed sample of a short call lasts about as long, by repeating it


class Size(Enum):
    """How much is measured."""

    FULL = "full"
    TINY = "tiny"  # one round on the smallest data: shows that a case runs, no figure to keep

    @property
    def rounds(self) -> tuple[int, int]:
        """(warm-up, measured) rounds."""
        return (3, 40) if self is Size.FULL else (0, 1)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run of cases shares.

    Args:
        size: how much to measure.
        machine: where.
        bundle: folder of the digits bundle.
        provider: measure only this one, or None for all.
        shelf: folder of networks with random weights, written when they are wanted.
    """

    size: Size
    machine: Machine
    bundle: Path
    provider: str | None = None
    shelf: Path = SHELF

    def chosen(self, providers: Mapping[str, Run]) -> dict[str, Run]:
        """The providers that this run asks for."""
        wanted = self.provider
        return {name: run for name, run in providers.items() if wanted in (None, name)}


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark.

    Args:
        name: room/noun and sizes, for example "kernels/philox normals 16384".
        measure: yields a record for each provider.
    """

    name: str
    measure: Callable[[str, Setting], Iterator[Record]]

    def records(self, setting: Setting) -> Iterator[Record]:
        """Measure now."""
        yield from self.measure(self.name, setting)


def summary(
    case: str,
    provider: str,
    values: Sequence[float],
    setting: Setting,
    *,
    unit: str = "ms",
    warm_up: int | None = None,
    extra: Extra | None = None,
) -> Record:
    """A record of measured values; the load average says how quiet the machine was."""
    load = {"load_average": round(os.getloadavg()[0], 2)}
    return Record(
        case=case,
        provider=provider,
        dtype="float32",
        unit=unit,
        median=percentile(values, 0.5),
        p10=percentile(values, 0.1),
        p90=percentile(values, 0.9),
        repeats=(setting.size.rounds[0] if warm_up is None else warm_up, len(values)),
        machine=setting.machine,
        extra={**load, **(extra or {})},
    )


def timed(
    providers: Mapping[str, Run], setting: Setting, *, rounds: tuple[int, int] | None = None
) -> dict[str, list[float]]:
    """Milliseconds of one call of each provider, taking turns; short calls are repeated.

    Args:
        providers: name -> one run of the work.
        setting: size and choice of provider.
        rounds: (warm-up, measured) instead of the size's own.

    Returns:
        One value a measured round, per provider.
    """
    chosen = setting.chosen(providers)
    counts = {name: _calls(run, setting.size) for name, run in chosen.items()}
    loops = {name: _repeated(run, counts[name]) for name, run in chosen.items()}
    warm_up, repeats = rounds or setting.size.rounds
    times = interleaved(loops, warm_up=warm_up, repeats=repeats)
    return {name: [each / counts[name] for each in values] for name, values in times.items()}


def _calls(run: Run, size: Size) -> int:
    """How many calls fill one sample; the first call, which may allocate, is not the yardstick."""
    if size is Size.TINY:
        return 1
    run()
    start = perf_counter_ns()
    run()
    elapsed_ms = (perf_counter_ns() - start) / NS_PER_MS
    return max(1, min(10_000, round(SAMPLE_MS / max(elapsed_ms, 1e-6))))


def _repeated(run: Run, count: int) -> Run:
    def loop() -> None:
        for _ in range(count):
            run()

    return loop

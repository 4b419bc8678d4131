"""What a load showed: as a record, and as text in trtexec's words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from denoisert.runtime.measure.load import Closed, Outcome, Trial
from denoisert.runtime.measure.percentiles import fewest, percentile, tail
from denoisert.runtime.measure.record import Machine, Record

PROVIDER = "denoisert"
DTYPE = "float32"
# Parts of a request's life, one after the other; `engine` lies inside `ticks`.
PHASES = ("plan", "queue", "text", "ticks", "decode")
ENGINE = "engine"
OTHER = "other"
TAIL = 0.99

Extra = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Setting:
    """What every record of a run shares.

    Args:
        model: name on the card.
        bundle: its id.
        mix: name and digest of what is asked for.
        machine: where.
        runtime: threads, slots, queue and the like.
        room: first word of every case.
    """

    model: str
    bundle: str
    mix: str
    machine: Machine
    runtime: dict[str, float]
    room: str = "load"

    def record(self, what: str, times: Sequence[float], warm_up: int, extra: Extra) -> Record:
        """A record of milliseconds; without any, its figures are 0."""
        known = list(times) or [0.0]
        shared: Extra = {
            "bundle": self.bundle,
            "mix": self.mix,
            "load_average": round(os.getloadavg()[0], 2),
            **self.runtime,
        }
        return Record(
            case=f"{self.room}/{self.model} {what}",
            provider=PROVIDER,
            dtype=DTYPE,
            unit="ms",
            median=percentile(known, 0.5),
            p10=percentile(known, 0.1),
            p90=percentile(known, 0.9),
            repeats=(warm_up, len(times)),
            machine=self.machine,
            extra={**shared, **extra},
        )

    def once(self, what: str, ms: float, extra: Extra | None = None) -> Record:
        """A record of something that happens once: opening, the first request, warming."""
        return self.record(what, [ms], 0, extra or {})

    def trial(self, trial: Trial, warm_up: int) -> Record:
        """The record of a load.

        Args:
            trial: what it showed.
            warm_up: requests before it.
        """
        latencies = [sample.latency_ms for sample in trial.of(Outcome.DONE)]
        extra = {**_load(trial), **_latency(latencies), **_phases(trial), **_costs(trial)}
        found = self.record(str(trial.load), latencies, warm_up, extra)
        return replace(found, p90=tail(latencies, 0.9).value) if latencies else found


def _load(trial: Trial) -> Extra:
    """Who sent, how much was offered and answered, and how the rest ended."""
    load, counted = trial.load, trial.counted
    span = max(trial.span, 1e-9)
    is_closed = isinstance(load, Closed)
    answered = len(counted) / span
    return {
        "load": "closed" if is_closed else "open",
        "clients": float(load.clients) if isinstance(load, Closed) else 0.0,
        "offered_per_s": answered if isinstance(load, Closed) else load.rate,
        "requests_per_s": answered,
        "pictures_per_s": sum(sample.images for sample in counted) / span,
        "window_s": trial.seconds,
        "sent": float(len(trial.samples)),
        **{outcome.value: float(len(trial.of(outcome))) for outcome in Outcome},
    }


def _latency(latencies: Sequence[float]) -> Extra:
    if not latencies:
        return {}
    last = tail(latencies, TAIL)
    bound: Extra = {"p99_bound": last.bound} if last.is_supported else {}
    return {
        "min": min(latencies),
        "mean": fmean(latencies),
        "p99": last.value,
        "max": max(latencies),
        **bound,
    }


def _phases(trial: Trial) -> Extra:
    """Mean milliseconds of every phase of the requests that were answered."""
    done = trial.of(Outcome.DONE)
    if not done:
        return {}
    names = (*PHASES, ENGINE)
    means = {name: fmean(each.phases.get(name, 0.0) for each in done) for name in names}
    whole = fmean(each.latency_ms for each in done)
    rest = max(0.0, whole - sum(means[name] for name in PHASES))
    return {f"phase_{name}": value for name, value in {**means, OTHER: rest}.items()}


def _costs(trial: Trial) -> Extra:
    """What the generator itself took, and how fast a full queue says no."""
    wall = max((each.end for each in trial.samples), default=0.0) or 1.0
    lags = [each.lag_ms for each in trial.samples]
    refusals = [each.latency_ms for each in trial.of(Outcome.REFUSED)]
    errors = [each.error for each in trial.of(Outcome.FAILED)]
    return {
        "client_share": trial.client_s / wall,
        "submit_share": trial.submit_s / wall,
        "lag_p99": tail(lags, TAIL).value if lags else 0.0,
        **({"refusal_p99": tail(refusals, TAIL).value} if refusals else {}),
        **({"refusal_max": max(refusals)} if refusals else {}),
        **({"first_error": errors[0]} if errors else {}),
    }


def number(record: Record, key: str) -> float:
    """A figure among a record's extras, 0 where it has none."""
    value = record.extra.get(key, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def text(record: Record) -> Iterator[str]:
    """A record for people, in trtexec's words.

    Args:
        record: of a load, or of something that happened once.

    Yields:
        Lines.
    """
    if "load" not in record.extra:
        yield f"{record.case}: {record.median:.1f} ms"
        return
    yield f"=== {record.case}, {number(record, 'window_s'):g} s ==="
    yield (
        f"Throughput: {number(record, 'requests_per_s'):.3f} requests/s, "
        f"{number(record, 'pictures_per_s'):.3f} pictures/s, of "
        f"{number(record, 'offered_per_s'):.3f} requests/s offered"
    )
    yield from _answers(record)
    counts = (f"{number(record, each.value):.0f} {each.value}" for each in Outcome)
    yield f"Requests: {number(record, 'sent'):.0f} sent, {', '.join(counts)}"
    if "refusal_max" in record.extra:
        yield (
            f"Refused within: percentile(99%) = {number(record, 'refusal_p99'):.1f} ms, "
            f"max = {number(record, 'refusal_max'):.1f} ms"
        )
    if "first_error" in record.extra:
        yield f"First error: {record.extra['first_error']}"
    yield (
        f"Client: {100 * number(record, 'client_share'):.1f} % of a core, of it "
        f"{100 * number(record, 'submit_share'):.1f} % validation and planning; sent late by "
        f"percentile(99%) = {number(record, 'lag_p99'):.1f} ms"
    )


def _answers(record: Record) -> Iterator[str]:
    """Latency and phases of the requests that were answered."""
    if not number(record, "done"):
        yield "Latency: no request was answered"
        return
    middle = {"mean": number(record, "mean"), "median": record.median}
    figures = {"min": number(record, "min"), "max": number(record, "max"), **middle}
    figures |= {"percentile(90%)": record.p90, "percentile(99%)": number(record, "p99")}
    yield f"Latency: {', '.join(f'{name} = {value:.1f} ms' for name, value in figures.items())}"
    if "p99_bound" not in record.extra:
        yield (
            f"         percentile(99%) rests on {number(record, 'done'):.0f} requests; "
            f"{fewest(TAIL)} are needed to bound it"
        )
    phases = {name: number(record, f"phase_{name}") for name in (*PHASES, OTHER)}
    shown = (f"{name} = {value:.1f} ms" for name, value in phases.items())
    engine = f"engine = {number(record, f'phase_{ENGINE}'):.1f} ms of ticks"
    yield f"Phases (mean): {', '.join(shown)}; {engine}"

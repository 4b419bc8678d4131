"""Records of today against stored ones: ratios always, a judgement only on the same device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from denoisert.runtime.measure.record import Record

TOLERANCE = 1.25  # shared machines differ by about that much from run to run
OURS = "denoisert"
Key = tuple[str, str, str, int, str, str]
RATE = "requests_per_s"
SETTINGS = ("mix", "threads", "slots", "queue")  # of a load; what differs in one is another case


def read(path: Path) -> list[Record]:
    """The records of a file of JSON lines.

    Raises:
        InvalidInput: a line that is no record.
        OSError: no such file.
    """
    return [
        Record.from_line(line, f"{path.name} line {number}")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line
    ]


def latest(records: Iterable[Record]) -> dict[Key, Record]:
    """The last record of every case, provider, type, device and unit."""
    return {_key(record): record for record in sorted(records, key=lambda r: r.machine.date)}


def _key(record: Record) -> Key:
    machine = record.machine
    who = (record.case, record.provider, machine.device, machine.cores)
    return *who, record.dtype, record.unit


@dataclass(frozen=True, slots=True)
class Comparison:
    """One case of today beside the stored one.

    Args:
        case: what ran.
        provider: who ran it.
        old: stored median.
        new: median of today, in the same unit.
        rate: new requests per second / old ones, None where a record has none.
        obstacle: why the ratios are not judged, "" where they are.
    """

    case: str
    provider: str
    old: float
    new: float
    rate: float | None
    obstacle: str

    @property
    def ratio(self) -> float:
        """New median / old median."""
        return self.new / self.old if self.old else inf

    @property
    def is_slower(self) -> bool:
        """Whether it is judged, and beyond what two runs differ by anyway."""
        is_less = self.rate is not None and self.rate * TOLERANCE < 1.0
        return not self.obstacle and (self.ratio > TOLERANCE or is_less)

    @property
    def verdict(self) -> str:
        """What the ratios mean, in a few words."""
        if self.obstacle:
            return f"not judged: {self.obstacle}"
        if self.is_slower:
            return "SLOWER"
        is_more = self.rate is not None and self.rate > TOLERANCE
        is_faster = self.ratio * TOLERANCE < 1.0 or is_more
        return "faster" if is_faster else f"within {TOLERANCE:g} times"

    def __str__(self) -> str:
        rate = "" if self.rate is None else f", throughput {self.rate:.2f} times"
        times = f"{self.old:.4g} -> {self.new:.4g}, {self.ratio:.2f} times"
        return f"{self.case} ({self.provider}): {times}{rate}; {self.verdict}"


def comparisons(old: Iterable[Record], new: Iterable[Record]) -> Iterator[Comparison]:
    """Every case of today that was also measured before, if possible on the same device.

    Args:
        old: the stored records; the last of a case counts.
        new: the records of today.

    Yields:
        One comparison per case.
    """
    stored = latest(old)
    elsewhere = {(each.case, each.provider, each.unit): each for each in stored.values()}
    for key, now in latest(new).items():
        then = stored.get(key) or elsewhere.get((now.case, now.provider, now.unit))
        if then is not None:
            medians = (then.median, now.median)
            rate, obstacle = _rate(then, now), _obstacle(then, now)
            yield Comparison(now.case, now.provider, *medians, rate, obstacle)


def regressions(old: Iterable[Record], new: Iterable[Record]) -> list[Comparison]:
    """Our cases that became slower than two runs differ by, on the same device and cores.

    Args:
        old: the stored records.
        new: the records of today.

    Returns:
        What became slower; cases that only one side has, or another device, are not judged.
    """
    ours = (each for each in comparisons(old, new) if each.provider.startswith(OURS))
    return [each for each in ours if each.is_slower]


def _rate(then: Record, now: Record) -> float | None:
    before, after = then.extra.get(RATE), now.extra.get(RATE)
    if not isinstance(before, int | float) or not isinstance(after, int | float) or not before:
        return None
    return after / before


def _obstacle(then: Record, now: Record) -> str:
    """What makes two figures incomparable, "" where nothing does."""
    if (then.machine.device, then.machine.cores) != (now.machine.device, now.machine.cores):
        return f"then on {then.machine.device} with {then.machine.cores} cores"
    if min(then.repeats[1], now.repeats[1]) <= 1:
        return "measured only once"
    differing = [key for key in SETTINGS if then.extra.get(key) != now.extra.get(key)]
    if then.dtype != now.dtype:
        differing.append("dtype")
    return f"another {' and '.join(differing)}" if differing else ""

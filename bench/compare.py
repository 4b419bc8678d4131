"""python -m bench.compare OLD.jsonl NEW.jsonl: what became slower on the same device."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.record import Machine, Record

TOLERANCE = 1.25  # shared machines differ by about that much from run to run
OURS = "denoisert"
Key = tuple[str, str, str, int, str, str]


@dataclass(frozen=True, slots=True)
class Regression:
    """One case that takes longer than it did.

    Args:
        case: what ran.
        provider: who ran it.
        old: median of the older record.
        new: median of the newer one, in the same unit.
    """

    case: str
    provider: str
    old: float
    new: float

    def __str__(self) -> str:
        ratio = self.new / self.old if self.old else float("inf")
        return f"{self.case} ({self.provider}): {self.old:.4g} -> {self.new:.4g}, {ratio:.2f} times"


def read(path: Path) -> list[Record]:
    """The records of a file of JSON lines.

    Raises:
        InvalidInput: a line that is no record.
    """
    return [
        _record(line, f"{path.name} line {number}")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line
    ]


def _record(line: str, place: str) -> Record:
    try:
        data = json.loads(line)
        repeats = tuple(data.pop("repeats"))
        return Record(machine=Machine(**data.pop("machine")), repeats=repeats, **data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{place} is no record: {error}. Measure it again.") from error


def latest(records: Iterable[Record]) -> dict[Key, Record]:
    """The last record of every case, provider, type, device and unit."""
    return {_key(record): record for record in sorted(records, key=lambda r: r.machine.date)}


def _key(record: Record) -> Key:
    machine = record.machine
    who = (record.case, record.provider, machine.device, machine.cores)
    return *who, record.dtype, record.unit


def regressions(
    old: Iterable[Record], new: Iterable[Record], tolerance: float = TOLERANCE
) -> list[Regression]:
    """Our cases whose median grew by more than the tolerance, on the same device and cores.

    Args:
        old: the stored records.
        new: the records of today.
        tolerance: ratio of medians that is let through, above 1.

    Returns:
        What became slower; cases that only one side has, or another device, are not compared.
    """
    before = latest(old)
    pairs = [(before[key], now) for key, now in latest(new).items() if key in before]
    return [
        Regression(now.case, now.provider, then.median, now.median)
        for then, now in pairs
        if now.provider.startswith(OURS) and now.median > tolerance * then.median
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two files.

    Returns:
        1 if anything became slower, 0 if not.
    """
    old, new = (Path(name) for name in (sys.argv[1:] if argv is None else argv))
    found = regressions(read(old), read(new))
    print("\n".join(map(str, found)) or "nothing became slower")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

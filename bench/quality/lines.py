"""Records as lines of a figure: a line for each solver, or one for several that do the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.quality.families import Family, family
from bench.quality.yardstick import OWN
from denoisert.runtime.measure.record import Record

ALIKE = 0.01  # relative difference at every cost below which two solvers are one line
COLUMNS = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class Line:
    """What solvers of one result cost and give.

    Args:
        names: of the solvers.
        family: of the first.
        records: one for each number of evaluations that was reached, rising.
        spacing: where the steps lie.
    """

    names: tuple[str, ...]
    family: Family
    records: tuple[Record, ...]
    spacing: str = OWN

    @property
    def is_random(self) -> bool:
        """Whether it draws noise on its way."""
        return self.records[0].extra["draws_noise"] == "yes"

    def at(self, asked: int) -> Record | None:
        """The dearest run that costs no more than so many evaluations, as long as it uses most."""
        fit = [each for each in self.records if asked / 2 < evaluations(each) <= asked]
        return fit[-1] if fit else None

    def points(self, key: str) -> list[tuple[float, float]]:
        """(evaluations, value)."""
        return [(evaluations(each), float(each.extra[key])) for each in self.records]


def evaluations(record: Record) -> float:
    """Of one branch."""
    return float(record.extra["evaluations"])


def lines(records: Iterable[Record], model: str, spacing: str = OWN) -> list[Line]:
    """The lines of a model on one spacing.

    Args:
        records: of any run; the last of each case counts.
        model: its name.
        spacing: its name.
    """
    found: dict[str, dict[float, Record]] = {}
    for each in records:
        where, _, cost = each.case.rpartition(" ")
        if where == f"quality/{model} {spacing}" and cost.isdecimal():
            found.setdefault(each.provider, {})[evaluations(each)] = each
    apart = []
    for name, runs in found.items():
        rising = tuple(runs[cost] for cost in sorted(runs))
        apart.append(Line((name,), family(name, rising[0]), rising, spacing))
    return _merged(apart)


def leaders(found: Sequence[Line], key: str, count: int) -> list[Line]:
    """The lines that are among the `count` nearest 0 at one of COLUMNS, best at the last first."""
    best: dict[int, Line] = {}
    for asked in reversed(COLUMNS):
        ranked = [(abs(float(run.extra[key])), line) for line in found if (run := line.at(asked))]
        ranked.sort(key=lambda pair: pair[0])
        best |= {id(line): line for _, line in ranked[:count]}
    return list(best.values())


def _merged(apart: Sequence[Line]) -> list[Line]:
    """Solvers that do the same to ALIKE at every cost share a line."""
    merged: list[Line] = []
    for line in apart:
        same = [index for index, other in enumerate(merged) if _alike(line, other)]
        if not same:
            merged.append(line)
            continue
        other = merged[same[0]]
        merged[same[0]] = replace(other, names=(*other.names, *line.names))
    return merged


def _alike(one: Line, other: Line) -> bool:
    mine, theirs = one.points("rms"), other.points("rms")
    return [x for x, _ in mine] == [x for x, _ in theirs] and all(
        abs(a - b) <= ALIKE * b for (_, a), (_, b) in zip(mine, theirs, strict=True)
    )

"""The tables of docs/quality.md: what is best at each cost, and where the steps lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.quality.families import Family
from bench.quality.lines import COLUMNS, Line, lines
from bench.quality.yardstick import OWN, Yardstick
from denoisert.runtime.measure.record import Record

BEST = 5
RANDOM = 2  # of those that draw noise
UNUSED = "-"


def tables(records: Sequence[Record], yardstick: Yardstick) -> Iterator[str]:
    """All tables of a model, in Markdown.

    Args:
        records: of its sweep.
        yardstick: the model.
    """
    yield from _reference(records, yardstick.name)
    for spacing in (OWN, *yardstick.spacings):
        found = lines(records, yardstick.name, spacing)
        if sum(len(line.names) for line in found) > len(yardstick.selected):
            yield f"Spacing `{spacing}`:\n"
            yield from _best(found)
    yield from _spacings(records, yardstick)


def _reference(records: Iterable[Record], model: str) -> Iterator[str]:
    case = f"quality/{model} {OWN} reference 500"
    for each in [each for each in records if each.case == case][-1:]:
        machine = each.machine
        yield (
            f"{machine.device}, {machine.date[:10]}, commit {machine.commit[:12]}"
            f"{' with changes' if machine.is_dirty else ''}. Reference: `{each.provider}`, 500 "
            f"steps; 250 steps differ by {each.median:.1e}, and errors below that mean nothing."
        )
        yield ""


def _best(found: Sequence[Line]) -> Iterator[str]:
    """The best at each cost: by error, and of those that draw noise by the reference's distance."""
    yield "| evaluations | solver | steps | error | distance | less the reference's | agreement |"
    yield "|---|---|---|---|---|---|---|"
    for asked in COLUMNS:
        runs = [(line, run) for line in found if (run := line.at(asked))]
        still = [pair for pair in runs if not pair[0].is_random]
        noisy = [pair for pair in runs if pair[0].family is Family.RANDOM]
        still.sort(key=lambda pair: float(pair[1].extra["rms"]))
        noisy.sort(key=lambda pair: abs(float(pair[1].extra["excess"])))
        for line, run in still[:BEST]:
            yield _row(line, run, f"{run.extra['rms']:.4f}")
        for line, run in noisy[:RANDOM]:
            yield _row(line, run, UNUSED)
    yield ""


def _row(line: Line, run: Record, error: str) -> str:
    told = run.extra
    star = "*" if line.is_random else ""
    names = ", ".join(f"`{name}`{star}" for name in line.names)
    return (
        f"| {told['evaluations']:g} | {names} | {told['steps']:g} | {error} "
        f"| {told['distance']:.4f} ± {told['distance_se']:.4f} "
        f"| {told['excess']:+.4f} ± {told['excess_se']:.4f} "
        f"| {100 * float(told['agreement']):.0f} ± {100 * float(told['agreement_se']):.0f} % |"
    )


def _spacings(records: Sequence[Record], yardstick: Yardstick) -> Iterator[str]:
    """Error of the selected solvers on every spacing."""
    yield f"| spacing | solver | {' | '.join(f'error at {asked}' for asked in COLUMNS)} |"
    yield "|---|---|---|---|---|"
    for name in yardstick.selected:
        for spacing in (OWN, *yardstick.spacings):
            alone = [each for each in records if each.provider == name]
            for line in lines(alone, yardstick.name, spacing):
                runs = [line.at(asked) for asked in COLUMNS]
                cells = [f"{run.extra['rms']:.4f}" if run else UNUSED for run in runs]
                yield f"| {spacing} | `{name}` | {' | '.join(cells)} |"
    yield ""

"""python -m bench.peers.front FILE...: the records of one model as the table of README.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.peers.model import EMOJI
from bench.peers.provider import PROVIDERS, Provider
from bench.peers.table import CASES, installed_as
from bench.peers.work import STEPS, TASKS
from bench.run import ROOT
from denoisert.runtime.measure.against import latest, read
from denoisert.runtime.measure.record import Record

README = ROOT / "README.md"
HEADING = "## How fast\n"
ROWS = re.compile(r"^\|.*\n(?:\|.*\n)+", re.MULTILINE)
HEADS = {
    "one": f"one request, {STEPS} steps",
    "mixed": "16 mixed requests",
    "equal": "16 equal ones",
    "cold": "process start to first picture",
    "peak": "peak memory",
    "size": "install",
}
SHORT = {"denoisert": "DenoiseRT", "bfloat16": "bf16", "float32": "f32", "torch.": "+ torch."}
MOST_MS = 1000.0

Medians = Mapping[tuple[str, str], Record]
"""(case, provider) -> its record."""


def table(records: Iterable[Record], model: str = EMOJI) -> str:
    """One row a provider, the least of every column in bold.

    Args:
        records: of runs on one device; the latest counts.
        model: whose.

    Returns:
        Markdown.
    """
    found = {(each.case, each.provider): each for each in latest(records).values()}
    rows = [each for each in PROVIDERS if (CASES["one"].format(model), each.name) in found]
    cells = [[_record(found, each, what, model) for what in HEADS] for each in rows]
    columns = zip(*cells, strict=True)
    least = [min((cell.median for cell in column if cell), default=0.0) for column in columns]
    lines = [f"| | {' | '.join(HEADS.values())} | error |", f"|{'---|' * (len(HEADS) + 2)}"]
    for provider, row in zip(rows, cells, strict=True):
        shown = [_shown(cell, best) for cell, best in zip(row, least, strict=True)]
        lines.append(f"| {' | '.join([_title(provider), *shown, _error(row)])} |")
    return "\n".join([*lines, ""])


def _record(found: Medians, provider: Provider, what: str, model: str) -> Record | None:
    name = installed_as(provider.environment) if what == "size" else provider.name
    return found.get((CASES[what].format(model), name))


def _shown(record: Record | None, best: float) -> str:
    """A median with its unit, bold where it is the least."""
    if record is None:
        return ""
    value = f"{record.median:.0f} {record.unit}"
    if record.unit == "ms" and record.median >= MOST_MS:
        value = f"{record.median / MOST_MS:.3g} s"
    return f"**{value}**" if record.median <= best else value


def _title(provider: Provider) -> str:
    name = provider.name
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return f"**{name}**" if provider.peer == "denoisert" else name


def _error(row: Sequence[Record | None]) -> str:
    """The worst pixel of all tasks."""
    told = [each.extra.get("max_error_of_255") for each in row[: len(TASKS)] if each is not None]
    worst = [float(value) for value in told if value is not None]
    return f"{max(worst):.0f}/255" if worst else ""


def placed(text: str, shown: str) -> str:
    """A document with the table in the place of the first one behind HEADING.

    Raises:
        ValueError: there is none.
    """
    before, heading, after = text.partition(HEADING)
    if not ROWS.search(after):
        raise ValueError(f"the document has no table behind {HEADING.strip()!r} to replace.")
    return before + heading + ROWS.sub(lambda _: shown, after, count=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Put the table into README.md."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.front", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="files of JSON lines")
    options = parser.parse_args(argv)
    records = [record for path in options.files for record in read(path)]
    README.write_text(placed(README.read_text(), table(records)))


if __name__ == "__main__":
    main()

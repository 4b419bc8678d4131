"""Runs cases one after the other: a readable line each, and a JSON line each where asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from bench.case import Case, Setting, Size
from denoisert.export import compile_bundle
from denoisert.runtime.measure.record import Machine, Record, this_machine

ROOT = Path(__file__).parent.parent
BUNDLE = ROOT / "demo" / "digits.bundle"


def here() -> Machine:
    """The machine and commit of this run."""
    return this_machine(ROOT, len(os.sched_getaffinity(0)))


def every_case(size: Size) -> Iterator[Case]:
    """The cases of every file bench/ROOM/bench_NOUN.py."""
    for path in sorted((ROOT / "bench").glob("*/bench_*.py")):
        module = import_module(f"bench.{path.parent.name}.{path.stem}")
        yield from module.cases(size)


def measured(cases: Iterable[Case], setting: Setting, out: Path | None) -> list[Record]:
    """Measure cases, print each record and append it to a file at once.

    Args:
        cases: what to measure.
        setting: how.
        out: file of JSON lines that is appended to, or None.

    Returns:
        The records.
    """
    records = []
    for case in cases:
        for record in case.records(setting):
            print(readable(record), flush=True)
            records.append(record)
            if out is not None:
                _append(out, record.line())
    return records


def _append(out: Path, line: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as lines:
        lines.write(line + "\n")


def readable(record: Record) -> str:
    """One line for people."""
    extra = "  ".join(f"{key} {value}" for key, value in record.extra.items())
    figures = f"{record.median:10.4g} {record.unit}  ({record.p10:.4g} .. {record.p90:.4g})"
    return f"{record.case:44} {record.provider:22} {figures}  {extra}"


def slug(device: str) -> str:
    """A device's name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "unknown"


def run(cases: Sequence[Case]) -> list[Record]:
    """Measure one file's cases on the digits bundle of this checkout."""
    return measured(cases, Setting(Size.FULL, here(), compiled(BUNDLE)), None)


def compiled(bundle: Path) -> Path:
    """Compile the digits bundle unless the same one is there already."""
    bundle.parent.mkdir(parents=True, exist_ok=True)
    return compile_bundle("digits", bundle).path

"""The end of a run, in few words: what was aimed at and what was found, loops, kernels, phases.

The last lines of the output are all that a remote caller may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.work import SMALL
from denoisert.runtime.measure.record import Record

OURS, COMPILED = "denoisert", "torch.compile"
COPY_PERCENT, TICK_RATIO, FEW_RATIO = 85.0, 1.02, 2.0
APART = 1e-4  # DESIGN.md, section 8: an engine equals eager float32
SHOWN = ("error", "non_network_percent", "first_picture_s", "launches_a_tick")

Judged = tuple[str, float, float, bool]  # what, found, aim, whether it is kept


def judged(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for every aim; the records are a GPU's, a CPU's judge nothing.

    Args:
        records: of this run.
    """
    yield "== aims"
    for what, found, aim, is_kept in aims(records):
        yield f"{'kept  ' if is_kept else 'MISSED'} {what:58} {found:10.4g}  aim {aim:g}"


def loops(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for every loop.

    Args:
        records: of this run.
    """
    yield "== loops"
    for record in records:
        if record.case.startswith("loop/") and record.unit == "ms":
            shown = ", ".join(f"{key} {record.extra.get(key, '-')}" for key in SHOWN)
            name = record.case.removeprefix("loop/")
            yield f"{name:40} {record.provider:29} {record.median:9.4g} ms, {shown}"


def aims(records: Sequence[Record]) -> Iterator[Judged]:
    """Yield what the records say about every aim of the tick."""
    ours = [record for record in records if record.provider == OURS]
    for record in ours:
        name, extra = record.case.removeprefix("gpu/"), record.extra
        if name.startswith("kernels step"):
            if "percent_of_copy" in extra and float(extra["bytes"]) >= SMALL:
                yield _judged(f"{name} % of copy", extra["percent_of_copy"], COPY_PERCENT, _least)
            if "launches_a_call" in extra:
                yield _judged(f"{name} launches", extra["launches_a_call"], 1.0, _most)
        if "tick_to_forward" in extra and not name.startswith("loop/few"):
            yield _judged(f"{name} tick / forward", extra["tick_to_forward"], TICK_RATIO, _most)
        if name.startswith("loop/seed"):
            yield _judged(f"{name} apart", record.median, APART, _most)
    yield from _few(records)
    for record in records:
        if "captured_equals_eager" in record.extra:
            is_equal = record.extra["captured_equals_eager"] == "true"
            yield _judged(f"{record.case} captured = eager", float(is_equal), 1.0, _least)


def _few(records: Sequence[Record]) -> Iterator[Judged]:
    """Yield how much longer torch.compile's loop takes on a small model."""
    found = {(r.case, r.provider): r.median for r in records if r.case.startswith("loop/few")}
    for (case, provider), median in found.items():
        if provider == OURS and (case, COMPILED) in found:
            ratio = found[case, COMPILED] / median
            yield _judged(f"{case} torch.compile / ours", ratio, FEW_RATIO, _least)


def _judged(
    what: str, found: float | str, aim: float, keeps: Callable[[float, float], bool]
) -> Judged:
    value = float(found)
    return what, value, aim, keeps(value, aim)


def _least(found: float, aim: float) -> bool:
    return found >= aim


def _most(found: float, aim: float) -> bool:
    return found <= aim

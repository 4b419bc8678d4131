"""The picture of a bench run: latency against load, and where the time of a request goes."""

from __future__ import annotations

from collections.abc import Sequence

from denoisert.runtime.measure.axis import Axis, fitting, linear
from denoisert.runtime.measure.record import Record
from denoisert.runtime.measure.summary import ENGINE, OTHER, PHASES, number
from denoisert.runtime.measure.svg import GRID, INK, PALE, Canvas

WIDTH = 960
LEFT, RIGHT = 80, 24
TOP = 84
CHART = 260
BETWEEN = 108
ROW = 34
LABELS = 210
COUNTS = 170
FOOT = 56

# Okabe and Ito's colours: told apart by people who see fewer of them.
LOADS = {"closed": ("#0072b2", "closed loop"), "open": ("#d55e00", "open loop")}
STYLES = {"median": ("", 2.2), "p90": ("5 4", 1.5), "p99": ("1.5 3", 1.8)}
COLORS = {
    "plan": "#cc79a7",
    "queue": "#b8bec9",
    "text": "#e69f00",
    ENGINE: "#0072b2",
    "loop": "#56b4e9",
    "decode": "#009e73",
    OTHER: "#f0e442",
}


def figure(records: Sequence[Record]) -> str:
    """Draw the loads among some records of one run.

    Args:
        records: of one model on one machine; those without a load are not drawn.

    Returns:
        The text of an SVG file.
    """
    loads = [each for each in records if "load" in each.extra]
    height = TOP + CHART + BETWEEN + ROW * max(1, len(loads)) + FOOT
    canvas = Canvas(WIDTH, height)
    if loads:
        _title(canvas, loads)
        _latencies(canvas, [each for each in loads if number(each, "done")])
        _shares(canvas, loads, TOP + CHART + BETWEEN)
        _foot(canvas, loads[-1], height)
    return canvas.document()


def _title(canvas: Canvas, loads: Sequence[Record]) -> None:
    first = loads[0]
    name = first.case.partition("/")[2].partition(f" {first.extra['load']} loop")[0]
    canvas.text((LEFT, 32), f"{name}: latency against load", size=18, weight="bold")
    place = LEFT
    for load in LOADS:
        if any(each.extra["load"] == load for each in loads):
            color, words = LOADS[load]
            canvas.line([(place, 56), (place + 28, 56)], color, width=2.2)
            canvas.text((place + 34, 60), words, color=PALE)
            place += 130
    for style, (dash, width) in STYLES.items():
        canvas.line([(place, 56), (place + 28, 56)], INK, width=width, dash=dash)
        canvas.text((place + 34, 60), style, color=PALE)
        place += 96


def _latencies(canvas: Canvas, loads: Sequence[Record]) -> None:
    """Milliseconds over requests per second, a line per load and percentile."""
    bottom = TOP + CHART
    across = linear([number(each, "offered_per_s") for each in loads], LEFT, WIDTH - RIGHT)
    values = [value for each in loads for value in _percentiles(each).values()]
    upwards = fitting(values, bottom, TOP)
    _frame(canvas, across, upwards)
    for load, (color, _) in LOADS.items():
        points = [each for each in loads if each.extra["load"] == load]
        points.sort(key=lambda each: number(each, "offered_per_s"))
        for style, (dash, width) in STYLES.items():
            line = [
                (across.place(number(p, "offered_per_s")), upwards.place(_percentiles(p)[style]))
                for p in points
            ]
            if len(line) > 1:
                canvas.line(line, color, width=width, dash=dash)
            for at in line:
                canvas.dot(at, color, 3.2 if style == "median" else 2)


def _percentiles(record: Record) -> dict[str, float]:
    return {"median": record.median, "p90": record.p90, "p99": number(record, "p99")}


def _frame(canvas: Canvas, across: Axis, upwards: Axis) -> None:
    """Grid, numbers and names of both axes."""
    for tick in upwards.ticks:
        y = upwards.place(tick)
        canvas.line([(LEFT, y), (WIDTH - RIGHT, y)], GRID)
        canvas.text((LEFT - 8, y + 4), f"{tick:g}", anchor="end", color=PALE)
    for tick in across.ticks:
        x = across.place(tick)
        canvas.line([(x, TOP), (x, TOP + CHART)], GRID)
        canvas.text((x, TOP + CHART + 18), f"{tick:g}", anchor="middle", color=PALE)
    canvas.line([(LEFT, TOP + CHART), (WIDTH - RIGHT, TOP + CHART)], PALE)
    middle = (LEFT + WIDTH - RIGHT) / 2
    offered = "requests per second: offered (open loop), answered (closed loop)"
    canvas.text((middle, TOP + CHART + 40), offered, anchor="middle", color=PALE)
    scale = ", logarithmic" if upwards.is_log else ""
    words = f"latency in ms{scale}"
    canvas.text((22, TOP + CHART / 2), words, anchor="middle", color=PALE, turn=-90)


def _shares(canvas: Canvas, loads: Sequence[Record], top: float) -> None:
    """One bar per load: the mean share of each phase; beside it, what was answered."""
    place: float = LEFT
    canvas.text((LEFT, top - 36), "Share of phases in the mean latency", size=14, weight="bold")
    for name, color in COLORS.items():
        canvas.bar((place, top - 23), 11, 11, color)
        canvas.text((place + 16, top - 13), name, color=PALE)
        place += 86
    for row, record in enumerate(loads):
        y = top + row * ROW
        canvas.text((LABELS - 10, y + 17), _label(record), anchor="end", size=11.5)
        _bar(canvas, record, y)
        _counts(canvas, record, y)


def _label(record: Record) -> str:
    load = record.extra["load"]
    return f"{load}{record.case.partition(f' {load} loop')[2]}".replace(",", "", 1)


def _bar(canvas: Canvas, record: Record, y: float) -> None:
    parts = {name: number(record, f"phase_{name}") for name in (*PHASES, OTHER)}
    engine = number(record, f"phase_{ENGINE}")
    parts |= {ENGINE: engine, "loop": max(0.0, parts.pop("ticks") - engine)}
    whole = sum(parts.values())
    if not whole:
        canvas.text((LABELS, y + 17), "no request was answered", color=PALE)
        return
    place, room = float(LABELS), WIDTH - RIGHT - COUNTS - LABELS
    for name, color in COLORS.items():
        width = room * parts[name] / whole
        canvas.bar((place, y), width, ROW - 10, color, f"{name} {parts[name]:.1f} ms")
        place += width


def _counts(canvas: Canvas, record: Record, y: float) -> None:
    lost = {key: number(record, key) for key in ("refused", "expired", "failed")}
    told = "".join(f", {count:.0f} {key}" for key, count in lost.items() if count)
    place = WIDTH - RIGHT - COUNTS + 10
    answered = f"{_short(number(record, 'requests_per_s'))}/s, {_short(record.median)} ms"
    canvas.text((place, y + (11 if told else 17)), answered, size=11)
    if told:
        canvas.text((place, y + 24), told[2:], size=10, color="#b42318")


def _short(value: float) -> str:
    """Three digits, or more where the number is larger."""
    return f"{value:.0f}" if value >= 100.0 else f"{value:.3g}"


def _foot(canvas: Canvas, record: Record, height: float) -> None:
    """Where this was measured: no figure without its device."""
    machine = record.machine
    versions = ", ".join(f"{name} {found}" for name, found in machine.libraries.items())
    commit = f"commit {machine.commit[:12]}{' and changes' if machine.is_dirty else ''}"
    where = f"{machine.device}, {machine.cores} cores, {machine.date}"
    settings = f"mix {record.extra['mix']}, {number(record, 'window_s'):g} s per load"
    canvas.text((LEFT, height - 30), f"{where}; {settings}", size=11, color=PALE)
    source = f"{commit}; " if machine.commit else ""
    canvas.text((LEFT, height - 13), f"{source}{versions}", size=11, color=PALE)

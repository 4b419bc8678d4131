"""The bench figure, read back as XML."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from denoisert.runtime.measure.figure import COLORS, LABELS, figure
from denoisert.runtime.measure.load import Closed, Open, measure
from denoisert.runtime.measure.record import Machine
from denoisert.runtime.measure.summary import Setting
from denoisert.runtime.request import Request
from tests.runtime.measure.virtual import Server, run

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = Machine("c" * 40, True, "2026-01-01T00:00:00+00:00", "Chip <9>", "6.1", "", 2, {"a": "1"})
SETTING = Setting("toy & co", "b" * 64, "default 1234", MACHINE, {"threads": 2.0})


def record(load, seconds=20.0, **server):
    async def whole():
        served = Server(lambda seed: 0.1, **server)
        return await measure(load, served.submit, lambda n: Request(seed=n), seconds=seconds)

    return SETTING.trial(run(whole()), 0)


@pytest.fixture(scope="module")
def records():
    loads = [Closed(1), Closed(4), Open(5.0, "0.5x"), Open(9.0, "0.9x"), Open(20.0, "2x")]
    return [SETTING.once("open", 3.0), *(record(load, queue=8) for load in loads)]


def drawn(records):
    return ElementTree.fromstring(figure(records))


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def test_every_load_has_a_bar_and_a_label(records):
    root = drawn(records)
    labels = ["closed 1 client", "closed 4 clients", "open 0.5x", "open 0.9x", "open 2x"]
    assert [text for text in texts(root) if text in labels] == labels
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    assert len(bars) == 5 * len(COLORS)


def test_a_bar_shows_the_shares_of_the_phases(records):
    root = drawn([records[2]])
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    names = [bar.find(f"{SVG}title").text.split()[0] for bar in bars]
    widths = dict(zip(names, (float(bar.get("width")) for bar in bars), strict=True))
    whole = sum(widths.values())
    assert widths["queue"] / whole == pytest.approx(0.75, abs=0.02)  # 4 clients, one worker
    assert widths["engine"] / whole == pytest.approx(0.9 * 0.25, abs=0.02)
    assert widths["loop"] / whole == pytest.approx(0.1 * 0.25, abs=0.02)
    edges = [(float(bar.get("x")), float(bar.get("width"))) for bar in bars]
    assert edges[0][0] == LABELS
    for (x, width), (following, _) in pairwise(edges):
        assert following == pytest.approx(x + width, abs=0.11)


def test_latency_grows_with_the_load_on_paper_too(records):
    root = drawn(records)
    points = [
        [tuple(map(float, at.split(","))) for at in line.get("points").split()]
        for line in root.iter(f"{SVG}polyline")
        if line.get("stroke") == "#d55e00" and line.get("stroke-dasharray") is None
    ]
    (median,) = [line for line in points if len(line) == 3]
    xs, ys = zip(*median, strict=True)
    assert list(xs) == sorted(xs)
    assert ys[2] < ys[1] < ys[0]  # up is small


def test_refusals_device_and_commit_are_named(records):
    found = texts(drawn(records))
    assert any("refused" in text for text in found)
    assert any("Chip <9>, 2 cores" in text and "default 1234" in text for text in found)
    assert any(text == "commit cccccccccccc and changes; a 1" for text in found)
    assert any("toy & co: latency against load" in text for text in found)


def test_everything_lies_inside_the_picture(records):
    root = drawn(records)
    width, height = float(root.get("width")), float(root.get("height"))
    for shape in root.iter():
        for key, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert 0.0 <= float(shape.get(key, 0.0)) <= most


def test_a_load_that_was_never_answered_and_no_load_at_all():
    async def refuse():
        server = Server(lambda seed: 0.1, workers=0, queue=0)
        return await measure(Open(5.0), server.submit, lambda n: Request(seed=n), seconds=2.0)

    silent = SETTING.trial(run(refuse()), 0)
    assert "no request was answered" in texts(drawn([silent]))
    assert drawn([SETTING.once("open", 3.0)]).tag == f"{SVG}svg"


def test_latencies_that_differ_much_get_a_logarithmic_axis(records):
    slow = replace(records[-1], p90=9e5, extra=records[-1].extra | {"p99": 1e6})
    assert any(text.endswith("logarithmic") for text in texts(drawn([*records[:-1], slow])))
    assert not any(text.endswith("logarithmic") for text in texts(drawn(records[:3])))


def test_one_load_alone_is_drawn_as_dots(records):
    root = drawn([records[1]])
    assert len(list(root.iter(f"{SVG}circle"))) == 3  # median, p90, p99
    colored = [line for line in root.iter(f"{SVG}polyline") if line.get("stroke") == "#0072b2"]
    assert len(colored) == 1  # the key


def test_only_the_kinds_of_load_that_were_measured_are_in_the_key(records):
    closed = texts(drawn(records[:3]))
    assert "closed loop" in closed
    assert "open loop" not in closed


def test_dots_lie_where_their_axes_say(records):
    root = drawn(records)
    ticks = {
        text.text: float(text.get("x"))
        for text in root.iter(f"{SVG}text")
        if text.get("text-anchor") == "middle" and text.text.replace(".", "").isdecimal()
    }
    (zero, first), *_ = [(ticks["0"], ticks["5"])]
    scale = (first - zero) / 5.0
    dots = [dot for dot in root.iter(f"{SVG}circle") if dot.get("fill") == "#d55e00"]
    wanted = {zero + scale * rate for rate in (5.0, 9.0, 20.0)}
    assert {round(float(dot.get("cx")), 1) for dot in dots} == {round(x, 1) for x in wanted}


def test_the_same_records_give_the_same_picture(records):
    assert figure(records) == figure(list(records))


@pytest.mark.parametrize(
    ("value", "text"), [(1234.6, "1235"), (99.94, "99.9"), (0.01234, "0.0123")]
)
def test_numbers_are_short_and_never_in_exponents(value, text, records):
    shown = replace(records[1], median=value)
    assert any(words.endswith(f", {text} ms") for words in texts(drawn([shown])))

"""The picture of solvers: read back as XML, every line where its numbers are."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from denoisert.runtime.measure.curves import STYLES, WIDTH, Curve, curves

SPACE = "{http://www.w3.org/2000/svg}"
LINES = (
    Curve("euler", ((4.0, 0.1), (8.0, 0.05), (16.0, 0.02))),
    Curve("heun", ((3.0, 0.2), (15.0, 0.004))),
    Curve("nothing", ()),
    Curve("ddim(eta=1.0)*", ((4.0, 0.3),)),
)


def drawn(lines=LINES, **words):
    text = curves("Solvers & errors", "RMS error", lines, **words)
    return ElementTree.fromstring(text)


def texts(tree):
    return [each.text for each in tree.iter(f"{SPACE}text")]


def dots(tree):
    return [
        (float(each.get("cx")), float(each.get("cy")), each.get("fill"))
        for each in tree.iter(f"{SPACE}circle")
    ]


def test_title_axes_and_notes_are_said():
    found = texts(drawn(notes=["seed 0", "a < b"]))
    assert found[0] == "Solvers & errors"
    assert found[-2:] == ["seed 0", "a < b"]
    assert "RMS error, logarithmic" in found
    assert "network evaluations of one branch, logarithmic" in found


def test_a_long_note_takes_several_lines():
    note = " ".join(f"word{number}" for number in range(60))
    found = texts(drawn(notes=[note, "end"]))
    last = found.index("end")
    lines = [each for each in found[:last] if each.startswith("word")]
    assert len(lines) > 2
    assert " ".join(lines) == note
    assert max(map(len, lines)) <= 140
    tree = drawn(notes=[note, "end"])
    assert float(tree.get("height")) > float(drawn(notes=["end"]).get("height"))


def test_the_legend_goes_up_with_the_last_error_and_leaves_out_what_did_not_run():
    tree = drawn()
    legend = [
        (float(each.get("y")), each.text)
        for each in tree.iter(f"{SPACE}text")
        if each.text.split("  ")[0] in {line.name for line in LINES}
    ]
    assert [text for _, text in sorted(legend)] == [
        "heun  4.0e-03",
        "euler  2.0e-02",
        "ddim(eta=1.0)*  3.0e-01",
    ]


def test_points_are_placed_by_their_logarithms():
    found = sorted(dots(drawn([Curve("a", ((4.0, 1.0), (8.0, 0.1), (16.0, 0.01)))])))
    (x0, y0, color), (x1, y1, _), (x2, y2, _) = found
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.11)
    assert y0 < y1
    assert color == STYLES[0][0]


def test_every_tick_stands_where_its_number_is():
    tree = drawn([Curve("a", ((4.0, 1.0), (400.0, 1e-5)))])
    points = sorted(dots(tree))
    found = {
        each.text: float(each.get("x"))
        for each in tree.iter(f"{SPACE}text")
        if each.get("text-anchor") == "middle" and each.text.isdecimal()
    }
    per_decade = (points[1][0] - points[0][0]) / 2
    for text, x in found.items():
        expected = points[0][0] + per_decade * math.log10(float(text) / 4)
        assert x == pytest.approx(expected, abs=0.2)
    decades = [text for text in texts(tree) if text.startswith(("1e", "0.", "1"))]
    assert "1e-05" in decades
    assert "0.2" not in decades  # five decades: whole ones alone


def test_sixty_solvers_fit_and_no_two_look_alike_until_all_styles_are_used():
    many = [Curve(f"solver {n}", ((4.0, 1.0 + n), (8.0, 0.5 + n))) for n in range(60)]
    tree = drawn(many)
    height = float(tree.get("height"))
    assert all(0 <= float(each.get("y")) <= height for each in tree.iter(f"{SPACE}text"))
    looks = [
        (each.get("stroke"), each.get("stroke-dasharray"))
        for each in tree.iter(f"{SPACE}polyline")
        if each.get("stroke-width") == "2"
    ]
    assert len(looks) == 60
    assert len(set(looks)) == min(60, len(STYLES))


def test_a_long_name_is_cut_in_the_legend():
    name = "x" * 80
    (words,) = [text for text in texts(drawn([Curve(name, ((4.0, 0.1),))])) if "xxx" in text]
    assert words == f"{'x' * 31}...  1.0e-01"


def test_an_error_of_nothing_stays_on_the_picture():
    tree = drawn([Curve("exact", ((4.0, 0.1), (8.0, 0.0)))])
    assert float(tree.get("width")) == WIDTH
    for x, y, _ in dots(tree):
        assert 0 < x < WIDTH
        assert 0 < y < float(tree.get("height"))
    assert drawn([]) is not None

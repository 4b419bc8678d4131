"""Shapes as XML."""

from xml.etree import ElementTree

import pytest

from denoisert.runtime.measure.svg import Canvas

SVG = "{http://www.w3.org/2000/svg}"


def parsed(canvas):
    return ElementTree.fromstring(canvas.document())


def test_an_empty_canvas_is_a_picture_of_its_size():
    root = parsed(Canvas(120, 80))
    assert (root.tag, root.get("width"), root.get("viewBox")) == (f"{SVG}svg", "120", "0 0 120 80")


def test_every_shape_has_its_place_and_colour():
    canvas = Canvas(100, 100)
    canvas.line([(1, 2), (3.26, 4)], "red", width=2, dash="5 4")
    canvas.dot((5, 6), "#00f", 7)
    canvas.bar((8, 9), 10, 11, "green", "a tip")
    canvas.text((12, 13), "words", anchor="end", turn=-90)
    _, line, dot, bar, text = parsed(canvas)
    assert (line.get("points"), line.get("stroke")) == ("1.0,2.0 3.3,4.0", "red")
    assert (line.get("stroke-dasharray"), line.get("fill")) == ("5 4", "none")
    assert (dot.get("cx"), dot.get("cy"), dot.get("r"), dot.get("fill")) == (
        "5.0",
        "6.0",
        "7",
        "#00f",
    )
    assert [bar.get(key) for key in ("x", "y", "width", "height")] == ["8.0", "9.0", "10.0", "11.0"]
    assert bar[0].text == "a tip"
    assert (text.text, text.get("text-anchor")) == ("words", "end")
    assert text.get("transform") == "rotate(-90 12.0 13.0)"


def test_later_shapes_lie_on_top():
    canvas = Canvas(10, 10)
    canvas.dot((1, 1), "red")
    canvas.dot((2, 2), "blue")
    assert [shape.get("fill") for shape in parsed(canvas)] == ["white", "red", "blue"]


def test_a_bar_never_has_a_negative_width():
    canvas = Canvas(10, 10)
    canvas.bar((0, 0), -1e-12, 5, "red")
    assert parsed(canvas)[1].get("width") == "0.0"


@pytest.mark.parametrize("words", ["<&>\"'", "\x00\x1b[31m", "\ud800", "a\ufffeb", "schön 猫"])
def test_any_text_stays_well_formed(words):
    canvas = Canvas(10, 10)
    canvas.text((0, 0), words)
    canvas.bar((0, 0), 1, 1, "red", words)
    written = canvas.document().encode("utf-8")
    text, bar = ElementTree.fromstring(written)[1:]
    assert text.text == bar[0].text
    assert len(text.text) == len(words)

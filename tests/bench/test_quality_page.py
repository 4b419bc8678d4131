"""The figure and the tables of the sweep: who is named, what is told, and that the page is its."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.quality import digits, emoji
from bench.quality.__main__ import YARDSTICKS, main
from bench.quality.families import Family, family
from bench.quality.figure import ROW
from bench.quality.labels import LONGEST, apart, label
from bench.quality.lines import Line, leaders, lines
from bench.quality.page import PAGE, publish
from bench.quality.panel import BOTTOM, TOP
from bench.quality.picture import drawn
from bench.quality.tables import tables
from bench.run import ROOT
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.against import read
from denoisert.runtime.measure.record import Machine, Record

MACHINE = Machine("c" * 40, False, "2026-01-02T03:04:05+00:00", "Chip 9", "1", "", 1, {})


def record(provider, cost, rms, *, distance=0.2, steps=None, noise="no", case=None, spacing="card"):
    told = {"steps": float(steps or cost), "evaluations": float(cost), "draws_noise": noise}
    values = {"rms": rms, "distance": distance, "distance_se": 0.01, "excess": distance - 0.2}
    shares = {"excess_se": 0.002, "agreement": 0.95, "agreement_se": 0.04}
    name = case or f"quality/digits {spacing} {cost}"
    extra = {**told, **values, **shares}
    return Record(name, provider, "float32", "rms", rms, rms, rms, (0, 4), MACHINE, extra)


REFERENCE = replace(record("heun", 500, 2e-4, case="quality/digits card reference 500"), extra={})
OWN_PICTURES = replace(
    record("heun", 500, 0.2, case="quality/digits card pictures 500"), extra={"mean": 0.2}
)
MADE = [
    *(record("euler", cost, 1 / cost) for cost in (4, 8, 16, 32)),
    *(record("ddim", cost, 1.001 / cost) for cost in (4, 8, 16, 32)),
    *(record("dpmpp_2m", cost, 1 / cost**2, distance=0.21) for cost in (4, 8, 16, 32)),
    *(record("heun", cost, 2 / cost**2, steps=cost // 2) for cost in (4, 8, 16, 32)),
    *(record("ddpm", cost, 0.7, distance=0.18, noise="yes") for cost in (8, 16, 32)),
    *(record("lcm", cost, 0.9, distance=0.5, noise="yes") for cost in (8, 16)),
    *(record("euler", cost, 3 / cost, spacing="shift 2") for cost in (8, 16)),
    REFERENCE,
    OWN_PICTURES,
]


def test_solvers_that_do_the_same_share_a_line():
    made = lines(MADE, "digits")
    assert [line.names for line in made] == [
        ("euler", "ddim"),
        ("dpmpp_2m",),
        ("heun",),
        ("ddpm",),
        ("lcm",),
    ]
    assert lines(MADE, "emoji") == []
    assert [line.names for line in lines(MADE, "digits", "shift 2")] == [("euler",)]


def test_the_last_record_of_a_case_counts():
    again = [*MADE, record("euler", 8, 0.5)]
    first = next(line for line in lines(again, "digits") if line.names == ("euler",))
    assert first.at(8).extra["rms"] == 0.5


@pytest.mark.parametrize(
    ("name", "noise", "kind"),
    [
        ("ddim", "no", Family.FIRST),
        ("unipc", "no", Family.MULTISTEP),
        ("heun", "no", Family.SINGLE),
        ("ddim(eta=1)", "yes", Family.RANDOM),
        ("dpmpp_sde", "yes", Family.RANDOM),
        ("lcm", "yes", Family.DISTILLED),
    ],
)
def test_a_colour_says_the_family(name, noise, kind):
    assert family(name, record(name, 8, 0.1, noise=noise)) is kind


def test_a_run_stands_for_the_cost_that_it_nearly_uses():
    line = Line(
        ("restart",), Family.RANDOM, (record("restart", 7, 0.3), record("restart", 30, 0.1))
    )
    assert line.at(8).extra["evaluations"] == 7
    assert line.at(16) is None, "7 of 16 evaluations are no comparison"
    assert line.at(32).extra["evaluations"] == 30
    assert line.at(4) is None


def test_leaders_are_the_nearest_to_zero_at_any_column():
    made = [line for line in lines(MADE, "digits") if not line.is_random]
    assert [line.names for line in leaders(made, "rms", 1)] == [("dpmpp_2m",)]
    assert [line.names for line in leaders(made, "rms", 2)] == [("dpmpp_2m",), ("heun",)]
    assert leaders(made, "excess", 1)[0].names != ("dpmpp_2m",)


@pytest.mark.parametrize("count", [0, 1, 2, 9, 20])
def test_names_do_not_overlap_and_stay_inside(count):
    wanted = sorted(np.random.default_rng(count).uniform(TOP, BOTTOM, count))
    places = apart(wanted, ROW, TOP, BOTTOM)
    assert len(places) == count
    assert all(b - a >= ROW - 1e-9 for a, b in pairwise(places))
    assert all(TOP - 1e-9 <= place <= BOTTOM + 1e-9 for place in places)


def test_names_with_room_stay_where_they_are():
    assert apart([100.0, 200.0, 300.0], ROW, TOP, BOTTOM) == [100.0, 200.0, 300.0]


def test_a_name_tells_how_many_more_there_are():
    records = (record("euler", 8, 0.1),)
    assert label(Line(("euler", "ddim"), Family.FIRST, records)) == "euler, ddim"
    many = Line(("edm_euler", "flow_euler", "noise_corrected", "x"), Family.FIRST, records)
    assert label(many) == "edm_euler, flow_euler + 2"
    assert len(label(many)) < LONGEST + 5
    assert label(replace(many, spacing="karras")) == "edm_euler, karras"


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_figure_names_the_best_and_shows_all():
    svg = drawn(MADE, digits.YARDSTICK)
    words = texts(svg)
    assert words.count("dpmpp_2m") == 2, "in both panels"
    assert words.count("euler, ddim") == 2, "the card's solver, too"
    assert words.count("euler, shift 2") == 2, "the best of another spacing"
    assert (words.count("ddpm"), words.count("lcm"), words.count("heun")) == (1, 0, 0)
    assert "500 steps" in words
    assert "draws noise" in words
    bold = [line for line in svg.splitlines() if 'stroke-width="2.4"' in line]
    thin = [line for line in svg.splitlines() if 'stroke-width="0.7"' in line]
    assert len(bold) == 3 + 4, "the left panel has none that draws noise"
    assert len(thin) == 1 + 2
    assert sum('stroke-dasharray="7 3"' in line for line in bold) == 2


def test_a_figure_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="measure it first"):
        drawn(MADE, emoji.YARDSTICK)


def test_the_table_has_the_best_at_each_cost():
    rows = [row for row in tables(MADE, digits.YARDSTICK) if row.startswith("| 8 ")]
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [
        ["dpmpp_2m"],
        ["heun"],
        ["euler", "ddim"],
        ["ddpm"],
    ]
    assert rows[0] == (
        "| 8 | `dpmpp_2m` | 8 | 0.0156 | 0.2100 ± 0.0100 | +0.0100 ± 0.0020 | 95 ± 4 % |"
    )
    assert rows[3].startswith("| 8 | `ddpm`* | 8 | - |")
    text = "\n".join(tables(MADE, digits.YARDSTICK))
    assert text.count("250 steps differ by 2.0e-04") == 1
    assert "Spacing `shift 2`" not in text, "too few solvers ran there"
    assert "| shift 2 | `euler` | 0.3750 | 0.1875 | - |" in text


def test_a_spacing_that_every_solver_ran_on_has_its_own_table():
    names = ("ddim", "ddpm", "deis", "heun", "lms", "res", "unipc")
    whole = [record(name, 8, 0.1 + n, spacing="shift 2") for n, name in enumerate(names)]
    text = "\n".join(tables([*MADE, REFERENCE, *whole], digits.YARDSTICK))
    assert text.index("Spacing `card`") < text.index("Spacing `shift 2`")
    assert text.count("250 steps differ") == 1, "the last of two runs"
    assert "| 8 | `ddim` | 8 | 0.1000 |" in text


def test_the_page_gets_its_tables_and_keeps_its_words(tmp_path):
    target, source = tmp_path / "quality.md", tmp_path / "x.jsonl"
    source.write_text("".join(each.line() + "\n" for each in MADE))
    target.write_text("before\n<!-- digits -->\nold\n<!-- end of digits -->\nafter\n")
    publish(source, digits.YARDSTICK, target)
    text = target.read_text()
    assert text.startswith("before\n<!-- digits -->\nChip 9")
    assert text.endswith("<!-- end of digits -->\nafter\n")
    assert "old" not in text
    publish(source, digits.YARDSTICK, target)
    assert target.read_text() == text
    assert (tmp_path / "quality-digits.svg").read_text() == drawn(MADE, digits.YARDSTICK)
    target.write_text("no marks\n")
    with pytest.raises(InvalidInput, match="no lines <!-- digits -->"):
        publish(source, digits.YARDSTICK, target)


@pytest.mark.parametrize("model", list(YARDSTICKS))
def test_committed_records_figure_and_page_belong_together(model, tmp_path):
    (source,) = (ROOT / "bench" / "results").glob("*-quality-*.jsonl")
    again = tmp_path / "quality.md"
    again.write_text(PAGE.read_text())
    main([model, "--draw", "--out", str(source), "--page", str(again)])
    assert again.read_text() == PAGE.read_text(), f"run `python -m bench.quality {model} --draw`"
    figure = f"quality-{model}.svg"
    assert (tmp_path / figure).read_text() == PAGE.with_name(figure).read_text()
    assert {each.case.split()[0] for each in read(source)} >= {f"quality/{model}"}

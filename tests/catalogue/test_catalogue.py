"""CATALOGUE.md says what is there: rows, marks, calls and labels agree, and the page is theirs."""

from collections import Counter

import pytest

from tests.catalogue.calls import resolve
from tests.catalogue.marks import ROOM, marked
from tests.catalogue.page import PAGE, page
from tests.catalogue.papers import COUNT, KINDS, MEMORY, NOT_YET, STATUSES, TESTED, papers

ROWS = papers()


def lines(text):
    """Number -> line of the table."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    return {int(line[2:].split()[0]): line for line in rows}


def test_every_number_stands_once():
    assert sorted(row.number for row in ROWS) == list(range(1, COUNT + 1))


def test_the_page_is_the_one_that_make_catalogue_writes():
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(ROWS, marked()), "run `make catalogue` and commit CATALOGUE.md"
    assert sorted(lines(written)) == list(range(1, COUNT + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_a_row_keeps_the_form(row):
    assert row.status in STATUSES
    assert row.kind.split()
    assert set(row.kind.split()) <= set(KINDS)
    for text in (row.title, row.does):
        assert text.strip() == text != ""
        assert "|" not in text
    assert row.does.endswith(".")
    assert row.does.count(". ") == 0, "one sentence"


def test_whoever_claims_something_has_a_test_and_whoever_is_tested_claims_something():
    claimed = {row.number for row in ROWS if row.status in TESTED}
    tests = set(marked())
    assert claimed - tests == set(), "rows without a marked test"
    assert tests - claimed == set(), "marked tests of rows that are not yet there"


def test_what_is_partly_there_says_what_is_not():
    words = ("missing", "not ", "left to", "are the caller's")
    silent = [row.number for row in ROWS if row.status == "partly" and not any(
        word in row.does for word in words)]  # fmt: skip
    assert not silent


def test_whoever_claims_something_says_how_to_call_it_and_no_one_else_does():
    for row in ROWS:
        assert bool(row.call) == (row.status != NOT_YET), row


@pytest.mark.parametrize("call", sorted({call for row in ROWS for call in row.call}))
def test_every_call_exists(call):
    assert resolve(call) is not None


@pytest.mark.parametrize(
    "call", ["Nothing()", "oracle.nothing", "CFG(size=3)", "denoisert fly", "denoisert bench --fly"]
)
def test_a_call_that_does_not_exist_is_noticed(call, capsys):
    with pytest.raises((NameError, AttributeError, TypeError, ValueError)):
        resolve(call)


def test_formulas_from_memory_are_labelled():
    table = lines(PAGE.read_text(encoding="utf-8"))
    for row in ROWS:
        assert (MEMORY in table[row.number]) == row.from_memory, row.number
    assert sum(row.from_memory for row in ROWS) > 0


def test_marks_are_those_that_pytest_collects(request):
    """The same files collected by pytest: every mark of the source is an item's, and no more."""
    here = [item for item in request.session.items if item.path.parent == ROOM]
    files = {item.path.name for item in here}
    from_items = {
        (mark.args[0], f"{item.path.name}::{item.originalname}")
        for item in here
        for mark in item.iter_markers("paper")
    }
    from_source = {
        (number, test)
        for number, tests in marked().items()
        for test in tests
        if test.split("::")[0] in files
    }
    assert from_items <= from_source
    names = {item.originalname for item in here}
    assert {pair for pair in from_source if pair[1].split("::")[1] in names} == from_items


MARKED = "import pytest\n\n\n@pytest.mark.paper({number}){more}\ndef {name}():\n    pass\n"


@pytest.mark.parametrize(
    ("file", "fields", "message"),
    [
        ("test_a.py", {"name": "shows"}, "does not collect"),
        ("shows.py", {"name": "test_shows"}, "does not collect"),
        ("test_a.py", {"number": "1, 2"}, "one paper's number"),
        ("test_a.py", {"number": "'5'"}, "one paper's number"),
        ("test_a.py", {"more": "\n@pytest.mark.skip"}, "may be left out"),
        ("test_a.py", {"more": "\n@pytest.mark.xfail(strict=True)"}, "may be left out"),
    ],
)
def test_a_mark_that_promises_no_test_is_refused(file, fields, message, tmp_path):
    good = {"number": "7", "more": "", "name": "test_shows"}
    (tmp_path / file).write_text(MARKED.format(**good | fields), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        marked(tmp_path)


def test_marks_of_several_files_and_papers_are_found(tmp_path):
    first = MARKED.format(number=7, more="\n@pytest.mark.paper(9)", name="test_one")
    (tmp_path / "test_a.py").write_text(first, encoding="utf-8")
    second = MARKED.format(number=7, more="", name="test_two")
    (tmp_path / "test_b.py").write_text(second, encoding="utf-8")
    one, two = "test_a.py::test_one", "test_b.py::test_two"
    assert marked(tmp_path) == {7: [one, two], 9: [one]}


def test_the_page_counts_and_orders_its_rows():
    text = page(ROWS[::-1], marked())
    assert text == page(ROWS, marked())
    counts = Counter(row.status for row in ROWS)
    for status in STATUSES:
        assert f"| {status} | {counts[status]} |" in text
    assert sum(counts.values()) == COUNT
    assert page(ROWS, {}) != text

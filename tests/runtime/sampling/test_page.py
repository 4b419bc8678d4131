"""docs/solvers.md says what the tables and the parity cases say now."""

from pathlib import Path

import pytest

from tests.runtime.sampling import page


def test_the_table_of_solvers_is_true():
    """If this fails: python -m tests.runtime.sampling.page."""
    lines = page.OUT.read_text().splitlines()
    wanted = list(page.solver_lines())
    start = lines.index(wanted[0])
    assert lines[start : start + len(wanted)] == wanted
    assert page.HEAD.format(cases=len(page.CASES)).splitlines() == lines[: start - 1]


@pytest.mark.slow
def test_the_whole_page_is_true():
    assert page.OUT.read_text() == page.page()


def test_other_references_are_in_the_files_named():
    for _, name in page.OTHERWISE.values():
        assert (Path(__file__).parent / name).exists()

"""Writes a model's figure and its tables in docs/quality.md."""

from __future__ import annotations

from pathlib import Path

from bench.quality.picture import drawn
from bench.quality.tables import tables
from bench.quality.yardstick import Yardstick
from bench.run import ROOT
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.against import read

PAGE = ROOT / "docs" / "quality.md"


def publish(source: Path, yardstick: Yardstick, page: Path) -> None:
    """Draw the figure and put the tables between their marks.

    Args:
        source: records of a sweep.
        yardstick: the model.
        page: Markdown with the lines `<!-- MODEL -->` and `<!-- end of MODEL -->`; the figure is
            written beside it.

    Raises:
        InvalidInput: no record of the model, or no marks.
    """
    of_it = f"quality/{yardstick.name} "
    records = [each for each in read(source) if each.case.startswith(of_it)]
    page.with_name(f"quality-{yardstick.name}.svg").write_text(drawn(records, yardstick))
    begin, end = (f"<!-- {words}{yardstick.name} -->\n" for words in ("", "end of "))
    text = page.read_text()
    if begin not in text or end not in text:
        raise InvalidInput(f"{page.name} has no lines {begin.strip()} and {end.strip()}; add them.")
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(before + begin + "\n".join(tables(records, yardstick)) + end + after)

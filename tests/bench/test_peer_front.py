"""The table of README.md is made of records."""

import pytest

from bench.peers import front
from bench.peers.table import CASES
from denoisert.runtime.measure.record import Machine, Record

MACHINE = Machine("c" * 40, False, "2026-01-01T00:00:00+00:00", "Chip 9", "6.1", "", 2, {"a": "1"})


def record(what, provider, median, unit="ms", **extra):
    case, spread = CASES[what].format("emoji"), (median, median, median)
    return Record(case, provider, "float32", unit, *spread, (1, 3), MACHINE, extra)


RECORDS = [
    record("one", "diffusers", 385.2, max_error_of_255=0.0),
    record("one", "denoisert openvino bfloat16", 150.4, max_error_of_255=4.0),
    record("mixed", "denoisert openvino bfloat16", 1970.0, max_error_of_255=39.0),
    record("mixed", "diffusers", 6490.0, max_error_of_255=0.0),
    record("peak", "diffusers", 434.4, "MiB"),
    record("size", "diffusers", 1226.0, "MiB"),
    record("size", "denoisert openvino", 290.0, "MiB"),
]


def rows(records):
    lines = front.table(records).splitlines()
    return {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in map(split, lines)}


def split(line):
    return line.split("|")


def test_every_provider_is_a_row_and_the_least_of_a_column_is_bold():
    found = rows(RECORDS)
    assert list(found) == ["", "---", "**DenoiseRT openvino bf16**", "diffusers"]
    ours, theirs = found["**DenoiseRT openvino bf16**"], found["diffusers"]
    assert ours == ["**150 ms**", "**1.97 s**", "", "", "", "**290 MiB**", "39/255"]
    assert theirs == ["385 ms", "6.49 s", "", "", "**434 MiB**", "1226 MiB", "0/255"]
    assert len(found[""]) == len(ours) == len(theirs)


def test_another_model_has_a_table_of_its_own():
    assert len(front.table(RECORDS, "unet").splitlines()) == 2


OLD = "| old |\n|---|\n| 1 |\n"
TEXT = f"# X\n\n| other |\n|---|\n\n{front.HEADING}\nabove\n\n{OLD}\nbelow\n\n| last |\n|---|\n"


def test_the_table_takes_the_place_of_the_first_one_behind_its_heading():
    shown = front.table(RECORDS)
    new = front.placed(TEXT, shown)
    assert new == TEXT.replace(OLD, shown)
    assert front.placed(new, shown) == new


@pytest.mark.parametrize("text", ["", f"{OLD}{front.HEADING}", f"{front.HEADING}| a |\n"])
def test_a_document_without_a_table_there_is_refused(text):
    with pytest.raises(ValueError, match="no table behind"):
        front.placed(text, "table")


def test_the_command_writes_the_readme(tmp_path, monkeypatch):
    readme, lines = tmp_path / "README.md", tmp_path / "x.jsonl"
    readme.write_text(TEXT)
    lines.write_text("\n".join(each.line() for each in RECORDS))
    monkeypatch.setattr(front, "README", readme)
    front.main([str(lines)])
    assert readme.read_text() == TEXT.replace(OLD, front.table(RECORDS))


def test_the_readme_has_the_place():
    assert front.placed(front.README.read_text(), "| here |\n").count("| here |") == 1

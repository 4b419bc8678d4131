"""Records, percentiles and the description of the machine."""

import json
import subprocess
from dataclasses import asdict

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.record import LIBRARIES, Machine, Record, this_machine

MACHINE = Machine("abc", True, "2026-01-01T00:00:00+00:00", "Chip", "6.1", "", 2, {"numpy": "2"})


def git(root, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def test_line_is_one_line_of_json_with_everything():
    record = Record("a\nb", "ours", "float32", "ms", 2.0, 1.0, 3.0, (1, 9), MACHINE, {"bytes": 4})
    line = record.line()
    assert "\n" not in line
    expected = asdict(record)
    expected["repeats"] = [1, 9]
    assert json.loads(line) == expected
    assert Record.from_line(line, "here") == record


@pytest.mark.parametrize(
    "line", ["[]", "{", '{"repeats": 1}', "3", '{"repeats": [1], "machine": {}}']
)
def test_what_is_no_record_is_refused_with_its_place(line):
    with pytest.raises(InvalidInput, match=r"runs\.jsonl line 4 is no record"):
        Record.from_line(line, "runs.jsonl line 4")


def test_a_folder_inside_a_checkout_has_no_commit(tmp_path):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    (tmp_path / "installed").mkdir()
    assert len(this_machine(tmp_path, 1).commit) == 40
    assert this_machine(tmp_path / "installed", 1).commit == ""


def test_extra_is_not_shared_between_records():
    first, second = (Record("a", "b", "c", "ms", 1, 1, 1, (0, 1), MACHINE) for _ in range(2))
    first.extra["x"] = 1.0
    assert second.extra == {}


def test_machine_names_commit_device_and_libraries(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "a.txt").write_text("one")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-m", "one")
    clean = this_machine(tmp_path, 3)
    assert len(clean.commit) == 40
    assert (clean.is_dirty, clean.cores) == (False, 3)
    assert clean.libraries["numpy"] == np.__version__
    assert set(clean.libraries) <= set(LIBRARIES)
    assert clean.date.endswith("+00:00")
    assert clean.driver
    (tmp_path / "new.txt").write_text("not tracked")
    assert not this_machine(tmp_path, 3).is_dirty
    (tmp_path / "a.txt").write_text("two")
    dirty = this_machine(tmp_path, 3)
    assert (dirty.is_dirty, dirty.commit) == (True, clean.commit)


def test_machine_outside_a_checkout_has_no_commit(tmp_path):
    machine = this_machine(tmp_path, 1)
    assert (machine.commit, machine.is_dirty) == ("", False)

"""Records, percentiles and the description of the machine."""

import json
import subprocess
from dataclasses import asdict

import numpy as np
import pytest

from denoisert.runtime.measure.record import LIBRARIES, Machine, Record, percentile, this_machine

MACHINE = Machine("abc", True, "2026-01-01T00:00:00+00:00", "Chip", "6.1", "", 2, {"numpy": "2"})


def git(root, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 41])
def test_percentile_is_numpys_linear_one(share, count):
    values = np.random.default_rng([count, 7]).standard_normal(count)
    before = values.copy()
    assert percentile(list(values), share) == pytest.approx(np.quantile(values, share), rel=1e-12)
    assert np.array_equal(values, before)


def test_line_is_one_line_of_json_with_everything():
    record = Record("a\nb", "ours", "float32", "ms", 2.0, 1.0, 3.0, (1, 9), MACHINE, {"bytes": 4})
    line = record.line()
    assert "\n" not in line
    expected = asdict(record)
    expected["repeats"] = [1, 9]
    assert json.loads(line) == expected


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

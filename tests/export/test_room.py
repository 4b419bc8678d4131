"""How much room there is: the machine's, and every bound that stands before it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from denoisert.export.room import MACHINE, Room, _bounds

GIB = 2**30


def system(root: Path, groups: str, files: dict[str, str]) -> dict[str, int]:
    """Bounds by name, on a machine with these control groups."""
    proc = root / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:  9437184 kB\nMemAvailable:  8388608 kB\nHuge: 3\n")
    (proc / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "control" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {name: size for size, name in _bounds(proc, root / "control") if "ulimit" not in name}


def test_without_groups_it_is_what_the_machine_has_free(tmp_path: Path) -> None:
    assert system(tmp_path, "0::/\n", {}) == {MACHINE: 8 * GIB}


def test_a_group_of_version_2_bounds_and_pages_of_files_can_be_taken_back(tmp_path: Path) -> None:
    files = {
        "a/b/memory.max": "max\n",
        "a/b/memory.current": f"{GIB}\n",
        "a/memory.max": f"{4 * GIB}\n",
        "a/memory.current": f"{3 * GIB}\n",
        "a/memory.stat": f"anon {GIB}\ninactive_file {GIB // 2}\nactive_file 7\n",
    }
    found = system(tmp_path, "0::/a/b\n", files)
    assert found == {MACHINE: 8 * GIB, "left in the control group /a/b": 3 * GIB // 2}


def test_a_group_of_version_1_bounds(tmp_path: Path) -> None:
    files = {
        "memory/a/memory.limit_in_bytes": f"{2 * GIB}\n",
        "memory/a/memory.usage_in_bytes": f"{GIB}\n",
        "memory/a/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 4}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": "5\n",
    }
    found = system(tmp_path, "4:memory:/a\n5:cpu:/a\n0::/\n", files)
    assert found == {MACHINE: 8 * GIB, "left in the control group /a": 5 * GIB // 4}


def test_a_system_that_tells_nothing_bounds_nothing(tmp_path: Path) -> None:
    assert max(size for size, _ in _bounds(tmp_path, tmp_path)) == sys.maxsize


def test_here_disk_is_that_of_the_first_folder_that_exists(tmp_path: Path) -> None:
    room = Room.beside(tmp_path / "new" / "a.bundle")
    assert room.disk_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert 0 < room.memory_bytes < sys.maxsize
    assert room.bound

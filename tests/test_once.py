"""What workers share is made by one of them, as a whole or not at all."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.once import folder_of_the_run, made_once

ROOT = Path(__file__).parents[1]
MAKER = """
import sys, time
from pathlib import Path
from tests.once import made_once

def make(folder):
    (folder / "half").touch()
    time.sleep(0.3)
    with (Path(sys.argv[1]) / "calls").open("a") as calls:
        calls.write("x")
    (folder / "whole").touch()

print(sorted(path.name for path in made_once(Path(sys.argv[1]), "toy", make).iterdir()))
"""


def test_processes_that_want_it_at_once_make_it_once(tmp_path):
    start = partial(subprocess.Popen, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    processes = [start([sys.executable, "-c", MAKER, str(tmp_path)]) for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert said == ["['half', 'whole']\n"] * 3
    assert (tmp_path / "calls").read_text() == "x"


def test_what_failed_is_made_anew(tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        made_once(tmp_path, "toy", fail)
    found = made_once(tmp_path, "toy", lambda folder: (folder / "whole").touch())
    assert [path.name for path in found.iterdir()] == ["whole"]


def test_names_are_folders_of_their_own(tmp_path):
    folders = {made_once(tmp_path, name, lambda folder: None) for name in ("a", "b", "a")}
    assert len(folders) == 2
    assert all(folder.parent == tmp_path for folder in folders)


def test_workers_share_what_lies_above_their_folders_and_a_lone_run_has_its_own(tmp_path):
    factory = SimpleNamespace(getbasetemp=lambda: tmp_path / "worker")
    assert folder_of_the_run(SimpleNamespace(workerinput={}), factory) == tmp_path
    assert folder_of_the_run(SimpleNamespace(), factory) == tmp_path / "worker"


def test_the_fixture_makes_a_folder_of_this_run(once, request, tmp_path_factory):
    folder = once("fixture", lambda folder: (folder / "x").touch())
    assert (folder / "x").exists()
    assert folder.parent == folder_of_the_run(request.config, tmp_path_factory)
    assert folder == once("fixture", lambda folder: pytest.fail("it is there already"))

"""The runner of seeded faults, and that every fault of the table still applies."""

from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import Mutant, Table

REPOSITORY = mutants.load()

FAULT = Mutant("runtime/area.py", "width * height", "width + height", ("tests/test_area.py",))
EQUAL = Mutant("runtime/area.py", "width * height", "height * width", ("tests/test_area.py",))
BROKEN = Mutant("runtime/area.py", "width * height", "width *", ("tests/test_area.py",))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one function and one test, laid out as ours is; it needs no plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for folder in ("runtime", "tests", ".typing/denoisert"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".typing/denoisert/runtime").symlink_to("../../runtime")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\n'
    )
    (tmp_path / "runtime/__init__.py").write_text("")
    (tmp_path / "runtime/area.py").write_text(
        "def area(width, height):\n    return width * height\n"
    )
    (tmp_path / "tests/test_area.py").write_text(
        "from denoisert.runtime.area import area\n\n\n"
        "def test_area():\n    assert area(3, 5) == 15\n"
    )
    return tmp_path


@pytest.mark.parametrize("mutant", REPOSITORY.mutants, ids=lambda mutant: mutant.file)
def test_every_fault_of_the_table_still_applies(mutant: Mutant) -> None:
    assert not mutant.problem(mutants.ROOT)


def test_the_table_has_no_fault_twice_and_a_minimum() -> None:
    assert len(set(REPOSITORY.mutants)) == len(REPOSITORY.mutants)
    assert 0.5 <= REPOSITORY.minimum <= 1.0


def test_nine_tenths_of_forty_are_thirty_six() -> None:
    assert Table(0.9, (FAULT,) * 40).required == 36
    assert Table(0.9, (FAULT,)).required == 1


def test_enough_killed_faults_pass_and_leave_the_tree_as_it_was(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tree / FAULT.file).read_text()
    assert mutants.judge(tree, Table(0.5, (FAULT, BROKEN, EQUAL))) == 0
    assert (tree / FAULT.file).read_text() == before
    printed = capsys.readouterr().out
    assert "2 of 3 killed, 2 needed" in printed
    assert [line.split()[0] for line in printed.splitlines() if "SURVIVED" in line] == ["SURVIVED"]


def test_a_fault_that_nothing_notices_fails_the_run(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mutants.judge(tree, Table(0.9, (EQUAL,)), workers=1) == 1
    assert "0 of 1 killed, 1 needed" in capsys.readouterr().out


def test_tests_that_fail_anyway_prove_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "tests/test_area.py").write_text("def test_area():\n    assert 1 == 2\n")
    assert mutants.judge(tree, Table(0.9, (FAULT,))) == 2
    assert "without any fault" in capsys.readouterr().err


def test_tests_that_select_nothing_are_no_kill(tree: Path) -> None:
    assert mutants.run_copy(tree, ["tests/test_area.py::test_other"]) not in mutants.KILLED


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"file": "runtime/none.py"}, "does not exist"),
        ({"find": "width"}, "2 times"),
        ({"find": "depth"}, "0 times"),
        ({"replace": "width * height"}, "by itself"),
        ({"tests": ("tests/test_none.py",)}, "no such tests"),
        ({"tests": ()}, "no such tests"),
    ],
)
def test_a_row_that_cannot_be_judged_is_refused(
    tree: Path, change: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {name: getattr(FAULT, name) for name in ("file", "find", "replace", "tests")}
    mutant = Mutant(**row | change)
    assert says in mutant.problem(tree)
    assert mutants.judge(tree, Table(0.9, (FAULT, mutant))) == 2
    assert says in capsys.readouterr().err


def test_an_empty_table_proves_nothing(tree: Path) -> None:
    assert mutants.judge(tree, Table(0.9, ())) == 2


def test_a_table_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "faults.toml").write_text(
        'minimum = 0.75\n[[mutant]]\nfile = "a.py"\nfind = "x"\nreplace = "y"\ntests = ["t.py"]\n'
    )
    expected = Table(0.75, (Mutant("a.py", "x", "y", ("t.py",)),))
    assert mutants.load(tmp_path / "faults.toml") == expected

"""Seeded faults: apply each to a copy of the repository and see whether its tests notice.

Run with `make mutants`. The faults are rows of tests/mutants.toml. A copy is read through its own
`.typing` links, which come before the installed package, so a fault never touches the working tree.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "mutants.toml"
WORKERS = 2
TIMEOUT_S = 300
NOT_COPIED = shutil.ignore_patterns(
    ".git",
    ".venv",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
    "*.egg-info",
    "demo",
    "build",
    "dist",
)
# pytest's exit codes: tests failed, or their collection did because the fault breaks an import.
KILLED = (1, 2)
PASSED = 0


@dataclass(frozen=True, slots=True)
class Mutant:
    """One seeded fault.

    Args:
        file: path relative to the repository.
        find: text that occurs exactly once in the file.
        replace: what stands there instead.
        tests: what pytest is given; at least one must fail.
    """

    file: str
    find: str
    replace: str
    tests: tuple[str, ...]

    def problem(self, root: Path) -> str:
        """Why the fault cannot be applied to the repository at `root`, or "" if it can."""
        path = root / self.file
        if not path.is_file():
            return f"{self.file} does not exist"
        count = path.read_text(encoding="utf-8").count(self.find)
        if count != 1:
            return f"{self.file} has {self.find!r} {count} times, not once"
        if self.find == self.replace:
            return f"{self.file}: {self.find!r} is replaced by itself"
        missing = [name for name in self.tests if not (root / name.split("::")[0]).is_file()]
        return f"no such tests: {missing}" if missing or not self.tests else ""

    def apply(self, root: Path) -> None:
        """Put the fault into the tree at `root`."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.find, self.replace), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Table:
    """All faults and the share of them that must be killed, in (0, 1]."""

    minimum: float
    mutants: tuple[Mutant, ...]

    @property
    def required(self) -> int:
        """How many faults must be killed."""
        return math.ceil(self.minimum * len(self.mutants))


def load(path: Path = TABLE) -> Table:
    """Read a table of faults."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = (row | {"tests": tuple(row["tests"])} for row in data.get("mutant", []))
    return Table(float(data["minimum"]), tuple(Mutant(**row) for row in rows))


def run_tests(tree: Path, tests: Iterable[str]) -> int:
    """pytest's exit code for some tests of a tree; a run that hangs counts as failed."""
    environment = os.environ | {
        "PYTHONPATH": str(tree / ".typing"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    quiet = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow")
    command = [sys.executable, "-m", "pytest", *quiet, *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return KILLED[0]
    return done.returncode


def run_copy(root: Path, tests: Iterable[str], mutant: Mutant | None = None) -> int:
    """Run tests in a fresh copy of the repository, with at most one fault in it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(root, tree, symlinks=True, ignore=NOT_COPIED)
        if mutant is not None:
            mutant.apply(tree)
        return run_tests(tree, tests)


def run_mutant(root: Path, mutant: Mutant) -> bool:
    """Whether the fault's tests notice it; prints the verdict."""
    code = run_copy(root, mutant.tests, mutant)
    word = "killed  " if code in KILLED else "SURVIVED" if code == PASSED else f"ERROR {code}"
    print(f"{word} {mutant.file}: {mutant.find!r} -> {mutant.replace!r}", flush=True)
    return code in KILLED


def refusal(root: Path, table: Table) -> str:
    """Why the table cannot be judged, or "" if it can: the tests must pass without a fault."""
    problems = [problem for mutant in table.mutants if (problem := mutant.problem(root))]
    if problems or not table.mutants:
        return "\n".join(problems) or "the table has no faults"
    tests = sorted({name for mutant in table.mutants for name in mutant.tests})
    code = run_copy(root, tests)
    return f"the tests fail without any fault (pytest exit {code})" if code != PASSED else ""


def judge(root: Path, table: Table, workers: int = WORKERS) -> int:
    """Run every fault; 0 if enough of them are killed, 1 if not, 2 if they cannot be judged."""
    reason = refusal(root, table)
    if reason:
        print(reason, file=sys.stderr)
        return 2
    with ThreadPoolExecutor(workers) as pool:
        verdicts = list(pool.map(lambda mutant: run_mutant(root, mutant), table.mutants))
    print(f"{sum(verdicts)} of {len(verdicts)} killed, {table.required} needed")
    return 0 if sum(verdicts) >= table.required else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults of a table and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Seeded faults.")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--workers", type=int, default=WORKERS)
    options = parser.parse_args(arguments)
    return judge(ROOT, load(options.table), options.workers)


if __name__ == "__main__":
    sys.exit(main())

"""Compile kernels for real architectures without a GPU and print what they need.

    python -m tests.kernels.compiled                        every op, six architectures
    python -m tests.kernels.compiled step --arch 90         one op, one architecture
    python -m tests.kernels.compiled step --only "one row"  variants whose name contains a text
    python -m tests.kernels.compiled step --write           measure its rows of budgets.toml anew
    python -m tests.kernels.compiled --json                 facts and problems for a test

Columns: registers of a thread; bytes of stack, of spill stores plus loads, of shared memory; global
loads and stores with those of 16 bytes or more; seconds. Ends with 1 if a kernel spills, exceeds
its budget or claims alignment for nothing. To try another Triton, put its folder on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.kernels.compiled import budgets

COLUMNS = "{:8} {:20} {:26} {:>4} {:>4} {:>5} {:>5} {:>6} {:>8} {:>8} {:>5}"
HEAD = (
    "op",
    "kernel",
    "variant",
    "sm",
    "regs",
    "stack",
    "spill",
    "shared",
    "loads/16",
    "stores/16",
    "s",
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.compiled", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("ops", nargs="*", help="folders of kernels/; all that have a launch")
    parser.add_argument("--arch", type=int, action="append", choices=budgets.ARCHES)
    parser.add_argument("--only", default="", help="variants whose name contains this")
    parser.add_argument("--first", type=int, help="this many variants of every op")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def set_environment(cache: str) -> None:
    """Compile instead of interpreting, always anew, and have Triton print ptxas's log."""
    os.environ.pop("TRITON_INTERPRET", None)
    os.environ["TRITON_CACHE_DIR"] = cache
    os.environ["TRITON_DUMP_PTXAS_LOG"] = "1"


def measure(chosen: argparse.Namespace) -> list[budgets.Fact]:
    """The facts of the chosen variants."""
    from tests.kernels.compiled import build  # imports triton: the environment is set by now

    work = [
        job
        for op in chosen.ops or budgets.ops()
        for arch in chosen.arch or budgets.ARCHES
        for job in [job for job in build.jobs(op, arch) if chosen.only in job.name][: chosen.first]
    ]
    if chosen.workers == 1 or len(work) < 4:
        return [build.compile_job(job) for job in work]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.workers, mp_context=spawn) as pool:
        return list(pool.map(build.compile_job, work))


def lines(facts: Iterable[budgets.Fact]) -> Iterable[str]:
    """The facts as a table."""
    yield COLUMNS.format(*HEAD)
    for fact in facts:
        yield COLUMNS.format(
            *(fact[name] for name in ("op", "kernel", "name", "arch", "registers", "stack")),
            fact["spill_stores"] + fact["spill_loads"],
            fact["shared"],
            f"{fact['loads']}/{fact['wide_loads']}",
            f"{fact['stores']}/{fact['wide_stores']}",
            fact["seconds"],
        )


def write(facts: list[budgets.Fact], triton: str, chosen: argparse.Namespace) -> None:
    """Write the measured ops into the table."""
    if chosen.arch or chosen.only or chosen.first:
        raise SystemExit("--write wants every variant on every architecture: name ops only.")
    table = budgets.load()
    if chosen.ops and table.get("triton", triton) != triton:
        raise SystemExit(f"the table is of triton {table['triton']}: write all ops with {triton}.")
    table = budgets.updated(table, facts, triton)
    budgets.PATH.write_text(budgets.text(table), encoding="utf-8")


def main() -> int:
    """Compile, report, compare."""
    chosen = arguments()
    with tempfile.TemporaryDirectory() as cache:
        set_environment(cache)
        facts = measure(chosen)
    version: Any = sys.modules["triton"].__version__
    if chosen.write:
        write(facts, version, chosen)
    table = budgets.load()
    found = budgets.problems(facts, table, version)
    if chosen.json:
        print(json.dumps({"triton": version, "facts": facts, "problems": found}))
    else:
        print(*lines(facts), *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

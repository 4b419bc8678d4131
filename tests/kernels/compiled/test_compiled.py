"""Every specialisation of every kernel compiles for real architectures within its budget.

Nothing here runs on a GPU: registers, spills and shared memory are what ptxas says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.kernels.compiled import budgets, build

OPS = budgets.ops()


def report(*arguments, path=None):
    """What the script prints as JSON, from a process of its own."""
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-m", "tests.kernels.compiled", "--json", *arguments]
    run = subprocess.run(
        command, cwd=budgets.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.stdout, run.stderr  # it ends with 1 where it reports problems
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def measured():
    """Report of an op on every architecture; compiled once."""
    kept = {}

    def get(op):
        if op not in kept:
            kept[op] = report(op)
        return kept[op]

    return get


@pytest.fixture(scope="module")
def first_variants():
    """Report of the first variant of every op for one architecture."""
    return report("--first", "1", "--arch", "90")


def test_first_variant_of_every_op_compiles_for_hopper(first_variants):
    assert [fact["op"] for fact in first_variants["facts"]] == OPS
    problems = first_variants["problems"]
    assert not problems, "\n" + "\n".join(problems)


def test_normals_take_no_logarithm_root_or_sine_from_the_approximate_unit(first_variants):
    """A raw `lg2.approx` is off by far more than 2e-6 near 1, where the radius is small."""
    normals = [fact for fact in first_variants["facts"] if fact["kernel"] == "normals_kernel"]
    assert [fact["approximate"] for fact in normals] == [[]]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("arch", budgets.ARCHES)
@pytest.mark.parametrize("op", OPS)
def test_every_variant_keeps_its_budget(op, arch, measured):
    found = measured(op)
    facts = [fact for fact in found["facts"] if fact["arch"] == arch]
    assert facts
    problems = budgets.problems(facts, budgets.load(), found["triton"])
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("op", OPS)
def test_the_table_has_the_variants_of_today(op, measured):
    facts = measured(op)["facts"]
    names = {(fact["kernel"], fact["name"]) for fact in facts}
    assert len(facts) == len(names) * len(budgets.ARCHES), "two variants share a name"
    table = budgets.load()[op]
    assert {(kernel, name) for kernel, rows in table.items() for name in rows} == names


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("op", OPS)
def test_every_variant_compiles_under_the_oldest_triton(op, oldest_triton):
    found = report(op, "--arch", "90", path=oldest_triton)
    assert found["triton"] == budgets.OLDEST
    assert not found["problems"]


def test_the_table_was_measured_with_the_pinned_triton():
    pins = (budgets.ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert f"triton=={budgets.load()['triton']}" in pins


# The measuring itself

FACT = {
    "op": "gauge",
    "name": "one",
    "kernel": "gauge_kernel",
    "arch": 90,
    "aligned": 1,
    "mismatches": [],
    "registers": 40,
    "stack": 0,
    "spill_stores": 0,
    "spill_loads": 0,
    "shared": 128,
    "loads": 4,
    "wide_loads": 2,
    "stores": 1,
    "wide_stores": 0,
}
TABLE = budgets.updated({}, [FACT], "9.9.9")


def test_what_was_measured_is_within_its_own_budget():
    assert not budgets.problems([FACT], TABLE, "9.9.9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"registers": 41}, "registers 41, budget 40"),
        ({"shared": 129}, "shared 129, budget 128"),
        ({"stack": 8}, "stack 8, budget 0"),
        ({"spill_stores": 4}, "spills 4 bytes and reloads 0"),
        ({"spill_loads": 4}, "spills 0 bytes and reloads 4"),
        ({"wide_loads": 0}, "none of its 4 loads moves 16 bytes"),
        ({"loads": 0, "wide_loads": 0}, "none of its 1 stores moves 16 bytes"),
        ({"mismatches": ["a launch may specialise count"]}, "may specialise count"),
        ({"arch": 100}, "registers 40, budget 0"),
        ({"name": "two"}, "run `python -m tests.kernels.compiled gauge --write`"),
        ({"op": "scale"}, "run `python -m tests.kernels.compiled scale --write`"),
    ],
)
def test_excess_is_named(change, message):
    problems = budgets.problems([FACT | change], TABLE, "9.9.9")
    assert any(message in problem for problem in problems)


def test_another_triton_keeps_no_budget_but_must_not_spill():
    assert not budgets.problems([FACT | {"registers": 255}], TABLE, "9.9.8")
    assert budgets.problems([FACT | {"spill_stores": 4}], TABLE, "9.9.8")


def test_a_stack_needs_a_reason_that_outlives_the_next_measurement():
    deep = FACT | {"stack": 16}
    table = budgets.updated(TABLE, [deep], "9.9.9")
    assert any("gives no reason" in problem for problem in budgets.problems([deep], table, "9.9.9"))
    table["gauge"]["gauge_kernel"]["one"]["reason"] = "a loop over pointers"
    table = budgets.updated(table, [deep], "9.9.9")
    assert not budgets.problems([deep], table, "9.9.9")


def test_the_table_is_read_as_it_was_written(tmp_path):
    facts = [FACT, FACT | {"arch": 80, "registers": 48}, FACT | {"arch": 86, "registers": 50}]
    table = budgets.updated({}, [*facts, FACT | {"op": "scale", "stack": 8}], "9.9.9")
    path = tmp_path / "budgets.toml"
    path.write_text(budgets.text(table), encoding="utf-8")
    assert budgets.load(path) == table
    assert table["gauge"]["gauge_kernel"]["one"]["registers"] == {"hopper": 40, "ampere": 50}


PTX = """
 @%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];
 ld.global.L1::evict_last.v2.b64 { %rd2, %rd3 }, [ %rd4 ];
 ld.global.b32 { %r5 }, [ %rd1 + 0 ];
 ld.global.v2.b32 { %r5, %r6 }, [ %rd1 + 0 ];
 st.global.v8.b32 [ %rd5 ], { %r1, %r2, %r3, %r4, %r1, %r2, %r3, %r4 };
 st.global.b16 [ %rd5 ], { %rs1 };
 ld.shared.v4.b32 {%r1, %r2, %r3, %r4}, [%r9];
 cp.async.cg.shared.global [ %r8 + 0 ], [ %rd9 + 0 ], 0x10, %r10;
"""


def test_accesses_are_counted_by_their_width():
    assert build.accesses(PTX) == {"loads": 5, "wide_loads": 3, "stores": 2, "wide_stores": 1}


def test_a_log_of_ptxas_is_read():
    log = (
        "ptxas info    : Function properties for k\n"
        "    296 bytes stack frame, 292 bytes spill stores, 300 bytes spill loads\n"
        "ptxas info    : Used 32 registers, used 1 barriers, 296 bytes cumulative stack size\n"
    )
    read = {"registers": 32, "stack": 296, "spill_stores": 292, "spill_loads": 300}
    assert build.measures(log) == read


class Parameter:
    """A parameter as `JITFunction.params` has it."""

    def __init__(self, name, forbidden="", alignment_forbidden=""):
        self.name = name
        self.do_not_specialize = name in forbidden.split()
        self.do_not_specialize_on_alignment = name in alignment_forbidden.split()


@pytest.mark.parametrize(
    ("aligned", "forbidden", "alignment_forbidden", "found"),
    [
        (("x_ptr",), "count", "", []),
        (("x_ptr", "count"), "", "", []),
        ((), "count x_ptr", "", []),
        ((), "count", "x_ptr", []),
        ((), "x_ptr", "", ["count"]),
        ((), "count", "", ["x_ptr"]),
        (("x_ptr",), "count x_ptr", "", ["x_ptr"]),
        (("x_ptr",), "count", "x_ptr", ["x_ptr"]),
    ],
)
def test_what_a_launch_specialises_otherwise_is_found(
    aligned, forbidden, alignment_forbidden, found
):
    types = {"x_ptr": "*fp32", "count": "i32", "gain": "fp32"}
    job = build.Job("gauge", "one", "gauge_kernel", types, {"BLOCK": 4}, aligned, 4, 90)
    parameters = [
        Parameter(name, forbidden, alignment_forbidden) for name in (*types, *job.constants)
    ]
    problems = list(build.mismatches(job, parameters))
    assert len(problems) == len(found)
    for name, problem in zip(found, problems, strict=True):
        assert name in problem

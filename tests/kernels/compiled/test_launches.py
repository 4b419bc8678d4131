"""A GPU machine compiles what the variants say and nothing else; kernels get their arguments.

Every launch function runs through Triton's own binding and specialising, on CPU tensors. Where it
compiles, too, even Triton's C code runs, against a libcuda that only notes what it is told.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.kernels.compiled import budgets

OPS = budgets.ops()
PTX = {"i32": "u32"}  # everything else is a pointer

pytestmark = pytest.mark.skipif(
    Path("/dev/nvidiactl").exists(), reason="a GPU launches kernels for real; this wants none"
)


def observed(*arguments, path=None):
    """What the script prints, from a process that does not interpret."""
    environment = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    if path:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-m", "tests.kernels.compiled.launches", *arguments]
    run = subprocess.run(
        command, cwd=budgets.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def told():
    """What Triton would compile."""
    return observed()


def specialisations(found, op):
    """Every specialisation of an op by the round of sizes that took it."""
    rounds = {}
    for call in found["calls"]:
        if call["op"] == op:
            rounds.setdefault(call["round"], set()).update(
                json.dumps(one, sort_keys=True) for one in call["compiled"]
            )
    return list(rounds.values())


def listed(op):
    """The specialisations that the variants of an op promise."""
    variants = importlib.import_module(f"denoisert.kernels.{op}.launch").VARIANTS
    # The reference of quantile rounds products and sums one by one; every other op may fuse them.
    options = {"ctas": 1, "stages": 3, "is_fused": op != "quantile"}
    return Counter(
        json.dumps(
            {
                "kernel": variant.kernel,
                "types": dict(variant.types),
                "constants": {name: repr(value) for name, value in variant.constants.items()},
                "aligned": sorted(variant.aligned),
                "attributes": sorted(variant.aligned),
                "warps": variant.warps,
                **options,
            },
            sort_keys=True,
        )
        for variant in variants
    )


@pytest.mark.parametrize("op", OPS)
def test_launches_compile_exactly_the_variants(op, told):
    """Types, constants, alignment, warps: what the budgets measure is what a GPU machine runs."""
    promised = listed(op)
    assert set(promised.values()) == {1}, "two variants are one specialisation"
    found = set.union(*specialisations(told, op))
    assert found == set(promised)


@pytest.mark.parametrize("op", OPS)
def test_no_size_compiles_anything_new(op, told):
    """Neither 1 nor a multiple of 16 nor a larger number than 2^31 makes another kernel."""
    first, *others = specialisations(told, op)
    assert first
    assert others == [first] * len(others)


def check_driven(found):
    """Each kernel is compiled once, and each launch's arguments arrive in order and number."""
    for op, entries in found["entries"].items():
        for entry in entries:
            assert entry["ptx"] == [PTX.get(kind, "u64") for kind in (*entry["types"], "*", "*")]
        calls = [call for call in found["calls"] if call["op"] == op]
        compiled = [json.dumps(one, sort_keys=True) for call in calls for one in call["compiled"]]
        assert len(compiled) == len(set(compiled)) == len(entries)
        warps = {one["kernel"]: set() for call in calls for one in call["compiled"]}
        for one in (one for call in calls for one in call["compiled"]):
            warps[one["kernel"]].add(one["warps"])
        for call in calls:
            assert call["launched"]
            for one in call["launched"]:
                assert one["values"] == one["expected"], one["kernel"]
                assert one["threads"] / 32 in warps[one["kernel"]]
                assert min(one["grid"]) >= 1


def test_arguments_reach_the_driver():
    """The first call of every op, through compiler and launcher."""
    found = observed("--compile", "--first", "1")
    assert list(found["entries"]) == OPS
    check_driven(found)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("op", OPS)
def test_arguments_of_every_variant_reach_the_driver(op):
    found = observed("--compile", op)
    check_driven(found)
    assert set.union(*specialisations(found, op)) == set(listed(op))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_oldest_triton_launches_the_same(oldest_triton, told):
    found = observed(path=oldest_triton)
    assert found["triton"] == budgets.OLDEST
    assert found["calls"] == told["calls"]
    check_driven(observed("--compile", "--first", "1", path=oldest_triton))
    # step, feed and vectors: a record of numbers is a constant of theirs, and that Triton writes C
    # for every signature.
    check_driven(observed("--compile", "--first", "4", "step", path=oldest_triton))

"""Compiling one specialisation for one architecture, without a GPU, and what the compiler says.

Only the script of this folder imports it: in a process that interprets, nothing here works.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.errors import TritonError

from denoisert.kernels.variant import Variant

THREADS_OF_A_WARP = 32
WIDE_BYTES = 16

ACCESS = re.compile(r"\b(ld|st)\.global([\w.:]*?)(?:\.v(\d))?\.[bfsu](\d+)\b")
ASYNC_COPY = re.compile(r"\bcp\.async\.cg\.shared\.global[^;]*,\s*(?:0x10|16)\b")
APPROXIMATE = re.compile(r"\b(\w+)\.approx\b")
LOG = {
    "registers": re.compile(r"Used (\d+) registers"),
    "stack": re.compile(r"(\d+) bytes stack frame"),
    "spill_stores": re.compile(r"(\d+) bytes spill stores"),
    "spill_loads": re.compile(r"(\d+) bytes spill loads"),
}


class Job(NamedTuple):
    """One specialisation for one architecture; plain values that a process can be sent."""

    op: str
    name: str
    kernel: str
    types: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[str, ...]
    warps: int
    arch: int


def jobs(op: str, arch: int) -> list[Job]:
    """Every specialisation that the launches of an op use, for one architecture."""
    variants: tuple[Variant, ...] = importlib.import_module(
        f"denoisert.kernels.{op}.launch"
    ).VARIANTS
    return [
        Job(
            op=op,
            name=variant.name,
            kernel=variant.kernel,
            types=dict(variant.types),
            constants=dict(variant.constants),
            aligned=tuple(variant.aligned),
            warps=variant.warps,
            arch=arch,
        )
        for variant in variants
    ]


def function_of(job: Job) -> Any:
    """The `@triton.jit` function of a job."""
    return getattr(importlib.import_module(f"denoisert.kernels.{job.op}.kernel"), job.kernel)


def mismatches(job: Job, parameters: Iterable[Any]) -> Iterator[str]:
    """Yield arguments that a launch would specialise otherwise than the variant says.

    A launch looks at each argument unless the kernel forbids it: is it a multiple of 16, is an
    integer 1. Then it compiles something that no test has seen.
    """
    for parameter in parameters:
        name = parameter.name
        is_looked_at = job.types.get(name, "").startswith(("*", "i", "u")) and not (
            parameter.do_not_specialize or parameter.do_not_specialize_on_alignment
        )
        if name in job.aligned and not is_looked_at:
            yield f"claims that {name} is aligned, but the kernel has Triton not look at it"
        if name not in job.aligned and name not in job.constants and is_looked_at:
            yield f"a launch may specialise {name}; name it in the kernel's do_not_specialize"


def source(job: Job) -> ASTSource:
    """The kernel with its types, as a launch would specialise it."""
    function = function_of(job)
    names = list(function.arg_names)
    unknown = {*job.types, *job.constants, *job.aligned} - set(names)
    missing = set(names) - {*job.types, *job.constants}
    if unknown or missing:
        raise ValueError(
            f"{job.op} {job.name!r}: {job.kernel} has no argument {sorted(unknown)}, and the "
            f"variant says nothing of {sorted(missing)}."
        )
    signature = {name: job.types.get(name, "constexpr") for name in names}
    signature |= dict.fromkeys(job.constants, "constexpr")
    return ASTSource(
        fn=function,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in job.constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in job.aligned},
    )


def accesses(ptx: str) -> dict[str, int]:
    """Numbers of global loads and stores in PTX, and of those that move 16 bytes or more."""
    found = {"loads": 0, "stores": 0, "wide_loads": 0, "wide_stores": 0}
    for operation, _, lanes, bits in ACCESS.findall(ptx):
        kind = "loads" if operation == "ld" else "stores"
        is_wide = int(lanes or 1) * int(bits) // 8 >= WIDE_BYTES
        found[kind] += 1
        found[f"wide_{kind}"] += is_wide
    copies = len(ASYNC_COPY.findall(ptx))
    found["loads"] += copies
    found["wide_loads"] += copies
    return found


def measures(log: str) -> dict[str, int]:
    """Registers, stack and spills of a ptxas log with one entry."""
    return {
        name: max((int(number) for number in pattern.findall(log)), default=0)
        for name, pattern in LOG.items()
    }


def compile_job(job: Job) -> Mapping[str, Any]:
    """Compile and measure.

    Returns:
        The job's op, name, kernel, arch and whether it claims alignment; mismatches with a launch;
        registers of a thread; stack, spills and shared memory in bytes; names of
        approximate instructions; loads and stores; seconds.
    """
    began = time.perf_counter()
    log = io.StringIO()
    target = GPUTarget("cuda", job.arch, THREADS_OF_A_WARP)
    try:
        with contextlib.redirect_stdout(log):  # Triton prints ptxas's log, see __main__.py
            compiled = triton.compile(source(job), target, options={"num_warps": job.warps})
    except TritonError as error:
        error.add_note(f"{job.op} {job.name!r} for sm_{job.arch}")
        raise
    measured = measures(log.getvalue())
    if not measured["registers"]:
        raise RuntimeError(f"{job.op} {job.name!r}: ptxas said nothing of registers.")
    return {
        "op": job.op,
        "name": job.name,
        "kernel": job.kernel,
        "arch": job.arch,
        "aligned": int(bool(job.constants.get("ALIGNED", job.aligned))),
        "mismatches": list(mismatches(job, function_of(job).params)),
        **measured,
        "shared": compiled.metadata.shared,
        "approximate": sorted(set(APPROXIMATE.findall(compiled.asm["ptx"]))),
        **accesses(compiled.asm["ptx"]),
        "seconds": round(time.perf_counter() - began, 2),
    }

"""Launch every kernel as a GPU machine would, on no GPU, and print as JSON what comes of it.

    python -m tests.kernels.compiled.launches            what Triton would compile; compiles nothing
    python -m tests.kernels.compiled.launches --compile  compile, and pass arguments to the driver

Names of ops choose; all otherwise. `--first 1` takes one call of every op.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ARCH = 90
PARAMETER = re.compile(r"^\s*\.param \.([a-z]\d+) ", re.MULTILINE)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.compiled.launches")
    parser.add_argument("ops", nargs="*", help="folders of kernels/; all that have a launch")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--first", type=int, help="this many calls of every op")
    return parser.parse_args()


def specialisation(kernel: str, signature: Any, constants: Any, attributes: Any) -> dict[str, Any]:
    """What the compiler is told of a kernel's arguments, as plain values."""
    told = {index[0]: value for index, value in attributes.items() if value}
    names = list(signature)
    return {
        "kernel": kernel,
        "types": {name: kind for name, kind in signature.items() if kind != "constexpr"},
        "constants": {names[index[0]]: repr(value) for index, value in constants.items()},
        "aligned": sorted(names[i] for i, v in told.items() if v == [["tt.divisibility", 16]]),
        "attributes": sorted(names[i] for i in told),
    }


class Compilations:
    """What Triton compiles, in order; without a driver it is stopped before."""

    def __init__(self, *, is_stopped: bool) -> None:
        """Listen to Triton."""
        from triton import knobs

        self.is_stopped = is_stopped
        self.found: list[dict[str, Any]] = []
        knobs.runtime.jit_cache_hook = self.heard

    def heard(self, *, fn: Any, compile: dict[str, Any], **_: Any) -> bool:
        """Note one compilation; true stops it."""
        told = (compile["signature"], compile["constants"], compile["configs"][0])
        options = {"warps": compile["num_warps"], "ctas": compile["num_ctas"]}
        options |= {"stages": compile["num_stages"], "is_fused": compile["enable_fp_fusion"]}
        self.found.append(specialisation(fn.name, *told) | options)
        return self.is_stopped

    def take(self) -> list[dict[str, Any]]:
        """Those since the last call."""
        found, self.found = self.found, []
        return found


def expected(function: Any, values: Mapping[str, Any]) -> list[int]:
    """A kernel's parameters, named as it names them, then two scratch buffers that none wants."""
    found = [values[each.name] for each in function.params if not each.is_constexpr]
    return [
        *(each % (1 << 32) if isinstance(each, int) else each.data_ptr() for each in found),
        *(0, 0),
    ]


def launched(op: str, values: Mapping[str, Any], found: Iterable[Any]) -> list[dict[str, Any]]:
    """What reached the driver, beside what should have."""
    kernels = importlib.import_module(f"denoisert.kernels.{op}.kernel")
    return [
        one._asdict() | {"expected": expected(getattr(kernels, one.kernel), values)}
        for one in found
    ]


def entries(op: str) -> list[dict[str, Any]]:
    """Arguments of all kernels of an op that were compiled: as Triton types and as PTX has them."""
    kernels = vars(importlib.import_module(f"denoisert.kernels.{op}.kernel")).values()
    functions = [each for each in kernels if getattr(each, "device_caches", None)]
    return [
        {
            "kernel": compiled.name,
            "types": [kind for kind in compiled.src.signature.values() if kind != "constexpr"],
            "ptx": PARAMETER.findall(compiled.asm["ptx"]),
        }
        for function in functions
        for compiled in function.device_caches[0][0].values()
    ]


def main() -> None:
    """Call, listen, print."""
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("TRITON_INTERPRET", None)
        os.environ["TRITON_CACHE_DIR"] = folder
        print(json.dumps(observe(chosen, Path(folder))))


def observe(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every call's compilations and launches."""
    from tests.kernels.compiled import libcuda  # imports triton: the environment is set by now

    driver: Any = libcuda.Driver(ARCH, folder) if chosen.compile else libcuda.Target(ARCH)
    libcuda.install(driver)
    import triton

    from tests.kernels.compiled import budgets, calls

    compilations = Compilations(is_stopped=not chosen.compile)
    found = []
    chosen_ops = chosen.ops or budgets.ops()
    for op, (number, sizes) in itertools.product(chosen_ops, enumerate(calls.SIZES)):
        for call in itertools.islice(calls.calls(op, sizes), chosen.first):
            call.run()
            fact = {"op": op, "round": number, "compiled": compilations.take()}
            if chosen.compile:
                fact["launched"] = launched(op, call.values, driver.library.take())
            found.append(fact)
    entered = {op: entries(op) for op in chosen_ops} if chosen.compile else {}
    return {"triton": triton.__version__, "calls": found, "entries": entered}


if __name__ == "__main__":
    main()

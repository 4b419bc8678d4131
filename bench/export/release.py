"""python -m bench.export.release BUNDLE: memory of text encoders that come, go and return."""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.case import Setting, summary
from bench.export.child import STATUS
from denoisert.runtime import Phase, Runtime
from denoisert.runtime.measure.record import Record

MIB = 2**20


def records(case: str, told: Mapping[str, Any], setting: Setting) -> Iterator[Record]:
    """One record of what was told: resident memory at every step, and how long loading took.

    Args:
        case: its name.
        told: what the child printed.
        setting: where.
    """
    first, again = told["load_ms"]
    extra = {f"{name}_mib": round(told[name] / MIB, 1) for name in STEPS}
    extra |= {"weights_mib": round(told["weight_bytes"] / MIB, 1), "first_load_ms": round(first)}
    yield summary(case, "denoisert", [again], setting, warm_up=1, extra=extra)


STEPS = ("opened", "loaded", "released", "loaded_again", "released_again")


def main(argv: Sequence[str] | None = None) -> None:
    """Load text encoders twice and release them twice."""
    parser = argparse.ArgumentParser(prog="python -m bench.export.release", description=__doc__)
    parser.add_argument("bundle", type=Path)
    options = parser.parse_args(argv)
    with Runtime.open(options.bundle) as runtime:
        found: dict[str, Any] = {STEPS[0]: _resident(), "load_ms": []}
        for loaded, released in (STEPS[1:3], STEPS[3:5]):
            before = runtime.stats()["load_ms"]
            runtime.warm(Phase.TEXT)
            found["load_ms"].append(runtime.stats()["load_ms"] - before)
            found[loaded] = _resident()
            found["weight_bytes"] = runtime.stats()["weight_bytes"]
            runtime.release(Phase.TEXT)
            found[released] = _resident()
    print(json.dumps(found))


def _resident() -> int:
    """Bytes of this process in memory, pages of files included."""
    gc.collect()
    lines = STATUS.read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()

"""python -m bench.gpu.sanitize [--tool TOOL] KERNEL...: small launches under compute-sanitizer.

Without --tool this process launches; with it, it starts itself again under the sanitizer. A size
that no block divides, several slots and poison behind every row are where a wrong mask shows.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.gpu import launch, step
from bench.gpu.memory import Launch

SLOTS, ELEMENTS, TURNS = 3, 777, 2
PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
ABSENT = 3  # exit status: nothing was checked
ERRORS = 9  # exit status of the sanitizer when it found something


def sanitizer() -> str | None:
    """Path of compute-sanitizer, or None."""
    folders = [None, *PLACES]
    found = (shutil.which("compute-sanitizer", path=folder) for folder in folders)
    return next((path for path in found if path), None)


def pool(device: str) -> None:
    """A whole pool on a toy: prologue, lanes and rows as the loop launches them."""
    from bench.loop.job import Job
    from bench.loop.ours import Loop
    from bench.loop.places import INTERPRETED, OURS, Places
    from bench.loop.schedulers import DPMpp2M as Eager
    from bench.loop.shapes.dit import TINY_DIT
    from bench.loop.shapes.files import saved
    from denoisert.runtime.sampling.solvers import DPMpp2M

    job = Job(TINY_DIT, DPMpp2M(), Eager, 3, 4.0, SLOTS)
    with TemporaryDirectory() as folder:
        places = Places(saved(TINY_DIT, Path(folder)), device, "float32")
        loop = Loop(job, places.place(OURS if device == "cuda" else INTERPRETED))
        loop.run()
        loop.close()
        places.close()


LAUNCHES: dict[str, Callable[[str, int, int], Launch]] = {
    "step": step.euler,
    "step ancestral": step.ancestral,
    "step multistep": step.multistep,
    "step corrector": step.corrector,
    "step thresholded": step.thresholded,
    "feed": step.feed,
    "vectors": step.vectors,
    "argument": step.argument,
    "philox": launch.philox,
    "lanes": launch.lanes,
    "gram": launch.gram_4,
    "rule": launch.rule,
    "quantile": launch.quantile,
}
KERNELS = (*LAUNCHES, "pool")


def main(argv: Sequence[str] | None = None) -> int:
    """Launch; ABSENT where there is no sanitizer, ERRORS where it found something."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.sanitize", description=__doc__)
    parser.add_argument("kernels", nargs="+", choices=KERNELS)
    parser.add_argument("--tool", choices=("memcheck", "racecheck", "initcheck", "synccheck"))
    parser.add_argument("--device", default="cuda", help="cpu interprets")
    options = parser.parse_args(argv)
    if options.tool:
        return _under(options.tool, options.kernels)
    for name in options.kernels:
        if name in LAUNCHES:
            made = LAUNCHES[name](options.device, ELEMENTS, SLOTS)
            for _ in range(TURNS):  # the second finds what the first has left
                made.run()
        else:
            pool(options.device)
        print(f"{name}: launched", flush=True)
    return 0


def _under(tool: str, kernels: Sequence[str]) -> int:
    program = sanitizer()
    if program is None:
        print("skipped: compute-sanitizer is neither on PATH nor in /usr/local/cuda")
        return ABSENT
    # Libraries ask the driver for symbols that it may lack; that is no error of a kernel.
    quiet = ["--report-api-errors", "no"] if tool == "memcheck" else []
    options = ["--tool", tool, "--target-processes", "application-only", *quiet]
    again = [sys.executable, "-m", "bench.gpu.sanitize", *kernels]
    return subprocess.run(
        [program, *options, "--error-exitcode", str(ERRORS), *again], check=False
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())

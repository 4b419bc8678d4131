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

SLOTS, ELEMENTS, PITCH, VECTORS = 3, 777, 832, 4
PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
ABSENT = 3  # exit status: nothing was checked
ERRORS = 9  # exit status of the sanitizer when it found something


def sanitizer() -> str | None:
    """Path of compute-sanitizer, or None."""
    folders = [None, *PLACES]
    found = (shutil.which("compute-sanitizer", path=folder) for folder in folders)
    return next((path for path in found if path), None)


def philox(device: str) -> None:
    """Normals of an odd piece."""
    import torch

    from denoisert.kernels.philox import launch

    for first in (0, 3):
        launch.normals(torch.empty(ELEMENTS, device=device), 7, draw=1, first=first)


def lanes(device: str) -> None:
    """Rows gathered and scaled."""
    import torch

    from denoisert.kernels.lanes import launch

    source = torch.ones(SLOTS, PITCH, device=device)[:, :ELEMENTS]
    index = torch.tensor([2, 0, 0, 1], device=device)
    scale = torch.ones(len(index), device=device)
    out = torch.empty(len(index), PITCH, device=device, dtype=torch.float16)[:, :ELEMENTS]
    launch.gather(source, index, scale, out=out)


def gram(device: str) -> None:
    """Products of every number of vectors, whole and per channel."""
    import torch

    from denoisert.kernels.gram import launch

    vectors = torch.ones(SLOTS, VECTORS, PITCH, device=device)
    counts = torch.tensor([4, 0, 2], dtype=torch.int32, device=device)
    for channels in (1, 3):
        shape = launch.workspace(SLOTS, channels, ELEMENTS)
        wide = {"dtype": torch.float64, "device": device}
        out = (
            torch.empty(SLOTS, channels, VECTORS, VECTORS, **wide),
            torch.empty(SLOTS, channels, VECTORS, **wide),
        )
        sizes = {"elements": ELEMENTS, "channels": channels}
        launch.gram(vectors, counts, **sizes, out=out, workspace=torch.empty(shape, **wide))


def rule(device: str) -> None:
    """Weights of slots with and without a rule."""
    import torch

    from denoisert.kernels.rule import launch

    wide = {"dtype": torch.float64, "device": device}
    launch.apply(
        torch.tensor([1, 0, 1], dtype=torch.int32, device=device),
        torch.ones(SLOTS, 1, VECTORS, VECTORS, **wide),
        torch.ones(SLOTS, 1, VECTORS, **wide),
        count=ELEMENTS,
        args=torch.ones(SLOTS, 8, **wide),
        carried=torch.zeros(SLOTS, 1, VECTORS, **wide),
        out=torch.empty(SLOTS, 1, VECTORS, device=device),
    )


def quantile(device: str) -> None:
    """Slots with and without a threshold."""
    import torch

    from denoisert.kernels.quantile import launch

    space = torch.empty(launch.workspace(SLOTS), dtype=torch.int32, device=device)
    ratios = torch.tensor([0.995, -1.0, 0.5], device=device)
    values, out = torch.ones(SLOTS, PITCH, device=device), torch.empty(SLOTS, device=device)
    launch.quantile(values, ratios, elements=ELEMENTS, out=out, workspace=space)


def step(device: str) -> None:
    """A whole pool on a toy: prologue, lanes and rows as the loop launches them."""
    from bench.loop.job import Job
    from bench.loop.ours import Loop, place
    from bench.loop.schedulers import DPMpp2M as Eager
    from bench.loop.shapes.dit import TINY_DIT
    from bench.loop.shapes.files import saved
    from denoisert.runtime.sampling.solvers import DPMpp2M

    job = Job(TINY_DIT, DPMpp2M(), Eager, 3, 4.0, SLOTS)
    with TemporaryDirectory() as folder:
        loop = Loop(job, saved(TINY_DIT, Path(folder)), place(device, "float32"))
        loop.run()
        loop.close()


KERNELS: dict[str, Callable[[str], None]] = {
    each.__name__: each for each in (philox, lanes, gram, rule, quantile, step)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Launch; ABSENT where there is no sanitizer, ERRORS where it found something."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.sanitize", description=__doc__)
    parser.add_argument("kernels", nargs="+", choices=sorted(KERNELS))
    parser.add_argument("--tool", choices=("memcheck", "racecheck", "initcheck", "synccheck"))
    parser.add_argument("--device", default="cuda", help="cpu interprets")
    options = parser.parse_args(argv)
    if options.tool:
        return _under(options.tool, options.kernels)
    for name in options.kernels:
        KERNELS[name](options.device)
        print(f"{name}: launched", flush=True)
    return 0


def _under(tool: str, kernels: Sequence[str]) -> int:
    program = sanitizer()
    if program is None:
        print("skipped: compute-sanitizer is neither on PATH nor in /usr/local/cuda")
        return ABSENT
    options = ["--tool", tool, "--target-processes", "application-only"]
    again = [sys.executable, "-m", "bench.gpu.sanitize", *kernels]
    return subprocess.run(
        [program, *options, "--error-exitcode", str(ERRORS), *again], check=False
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())

"""Ours: a bundle that was compiled from the same folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.serve import Draw, arguments, run
from bench.peers.work import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from denoisert.runtime import Runtime

FORMS = ("float32",)


def export(folder: Path, out: Path) -> None:
    """Compile a diffusers folder."""
    from denoisert.export import compile_bundle

    compile_bundle(folder, out)


def load(folder: Path, life: ExitStack) -> Draw:
    """The runtime, ready to draw.

    Args:
        folder: the bundle.
        life: closes the runtime when it ends.
    """
    from denoisert.runtime import Runtime

    return partial(_draw, life.enter_context(Runtime.open(folder)))


def _draw(runtime: Runtime, work: Sequence[Job], noise: Mapping[int, NDArray]) -> list[Image]:
    """All at once; the noise of a seed is our own, which is what the others got."""
    from denoisert.runtime import CFG, DDIM, Request, Trailing

    del noise
    requests = [
        Request(
            job.prompt,
            seed=job.seed,
            steps=job.steps,
            solver=DDIM(),
            schedule=Trailing(),  # what the others' DDIM takes, whatever the folder recommends
            guidance=CFG(job.guidance),
        )
        for job in work
    ]
    results = runtime.generate(requests)
    for result in results:
        if result.error is not None:
            raise result.error
    return [result.images[0] for result in results]


if __name__ == "__main__":
    options = arguments(FORMS)
    with ExitStack() as stack:
        run(options, partial(load, options.folder, stack))

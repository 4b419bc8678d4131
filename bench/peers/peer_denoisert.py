"""Ours: one bundle that was compiled from the same folder for every target."""

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

FORMS = ("onnxruntime", "openvino", "openvino-bfloat16", "onnxruntime-int8", "openvino-int8")


def export(model: Path | str, out: Path) -> None:
    """Compile a diffusers folder, or a model of the zoo by its name."""
    from denoisert.export import compile_bundle
    from denoisert.export.options import CompileOptions
    from denoisert.runtime.engines.target import target_of_key

    compile_bundle(model, out, options=CompileOptions(tuple(map(target_of_key, FORMS))))


def load(folder: Path, form: str, life: ExitStack) -> Draw:
    """The runtime, ready to draw.

    Args:
        folder: the bundle.
        form: one of FORMS, the key of a target.
        life: closes the runtime when it ends.
    """
    from denoisert.runtime import Runtime
    from denoisert.runtime.engines.target import target_of_key

    return partial(_draw, life.enter_context(Runtime.open(folder, devices=(target_of_key(form),))))


def _draw(runtime: Runtime, work: Sequence[Job], noise: Mapping[int, NDArray]) -> list[Image]:
    """All at once; the noise of a seed is our own, which is what the others got."""
    from denoisert.runtime import CFG, DDIM, Request

    del noise
    is_told_words = bool(runtime.card.texts)
    requests = [
        Request(
            job.prompt if is_told_words else job.label,
            seed=job.seed,
            steps=job.steps,
            solver=DDIM(),  # on the card's own times, the leading ones of the common folder
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
        run(options, partial(load, options.folder, options.form, stack))

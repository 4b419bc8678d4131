"""openvino-genai: OpenVINO's own pipeline in C++, its default bfloat16 and float32.

A call takes one prompt and one settings set, so sixteen requests run one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.serve import Draw, arguments, run
from bench.peers.work import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from openvino import Shape, Tensor
    from openvino_genai import Generator, Text2ImagePipeline
    from PIL.Image import Image

FORMS = ("bfloat16", "float32")


def load(folder: Path, form: str) -> Draw:
    """The pipeline on what optimum-intel exported, ready to draw.

    Args:
        folder: OpenVINO files with openvino_tokenizer.xml.
        form: one of FORMS; bfloat16 is what it takes by itself on a processor that has it.
    """
    import openvino_genai as genai

    hint = {"INFERENCE_PRECISION_HINT": "f32"} if form == "float32" else {}
    pipeline = genai.Text2ImagePipeline(folder, "CPU", **hint)
    return partial(_draw, pipeline)


def _draw(
    pipeline: Text2ImagePipeline, work: Sequence[Job], noise: Mapping[int, NDArray]
) -> list[Image]:
    return [_picture(pipeline, job, noise[job.seed]) for job in work]


def _picture(pipeline: Text2ImagePipeline, job: Job, start: NDArray) -> Image:
    """One picture from the given noise, which the pipeline draws number by number."""
    from PIL.Image import fromarray

    found = pipeline.generate(
        job.prompt,
        num_inference_steps=job.steps,
        guidance_scale=job.guidance,
        generator=_stored(start),
    )
    return fromarray(found.data[0])


def _stored(start: NDArray) -> Generator:
    """A generator that hands out stored noise."""
    import openvino
    import openvino_genai as genai

    class Stored(genai.Generator):
        def __init__(self) -> None:
            super().__init__()
            self._values = iter(start.ravel().tolist())

        def next(self) -> float:
            return next(self._values)

        def randn_tensor(self, shape: Shape) -> Tensor:
            return openvino.Tensor(start.reshape(tuple(shape)))

    return Stored()


if __name__ == "__main__":
    options = arguments(FORMS)
    run(options, partial(load, options.folder, options.form))

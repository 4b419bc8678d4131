"""python -m bench.rtx_engine build|run [--folder DIR]: a TensorRT-RTX engine built without a GPU.

`build` needs no GPU. `run` asks a GPU whether it takes the engine, and if so runs it once against
ONNX Runtime. Both print one record; so they do where TensorRT-RTX is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from bench.loop.shapes.dit import TINY_DIT
from bench.loop.shapes.files import Saved, inputs, saved
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.compiler import build as build_engine
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.profile import LANES, Profile
from denoisert.runtime.engines.target import TensorRtRtx
from denoisert.runtime.engines.tensorrt.binding import RTX
from denoisert.runtime.errors import DenoiseRTError, Incompatible
from denoisert.runtime.measure.record import Machine, Record, this_machine

ROOT = Path(__file__).parent.parent
USUAL = 2
PROFILE = Profile({LANES: (1, USUAL, 4)})
Answer = dict[str, float | str]


def engine_path(files: Saved) -> Path:
    """Where the engine of a shape lies."""
    return files.root / "rtx.engine"


def build(files: Saved) -> Answer:
    """Compile the graph for any GPU that TensorRT-RTX supports.

    Raises:
        DenoiseRTError: it refuses the graph.
    """
    start, out = perf_counter(), engine_path(files)
    job = EngineJob("denoiser", RTX.target, files.graph, files.root, out, (PROFILE,))
    build_engine(job, lambda step, done, whole: None)
    took = round(perf_counter() - start, 3)
    data = out.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"answer": "built", "bytes": len(data), "sha256": digest, "build_s": took}


def run(files: Saved) -> Answer:
    """Ask the GPU about the engine; run it where it is accepted.

    Raises:
        DenoiseRTError: an accepted engine does not run.
    """
    from denoisert.runtime.engines.tensorrt.engine import TensorRtEngine  # torch

    shown = inputs(TINY_DIT), (TINY_DIT.output,)
    entry = GraphEntry("engines/rtx.engine", (), *shown, profiles=(PROFILE,))
    try:
        engine = TensorRtEngine(engine_path(files), entry, TensorRtRtx("float32"))
    except Incompatible as error:
        return {"answer": "refused", "reason": str(error)}
    generator = np.random.default_rng(0)
    feed = {port.name: _draw(port, generator) for port in inputs(TINY_DIT)}
    buffers = {**feed, TINY_DIT.output.name: TINY_DIT.output.buffer(USUAL)}
    bound = engine.bind(USUAL, buffers)
    bound.run()
    found, wanted = buffers[TINY_DIT.output.name], _reference(files, feed)
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    return {"answer": "ran", "error": error}


def _draw(port: Port, generator: np.random.Generator) -> np.ndarray:
    shape = port.shape(USUAL)
    is_label = port.dtype == "int64"
    return generator.integers(0, 10, shape) if is_label else generator.random(shape, np.float32)


def _reference(files: Saved, feed: dict[str, np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(files.graph), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


def main(argv: Sequence[str] | None = None, machine: Machine | None = None) -> int:
    """Print one record; 1 if TensorRT-RTX is there and fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.rtx_engine", description=__doc__)
    parser.add_argument("mode", choices=("build", "run"))
    parser.add_argument("--folder", type=Path, default=ROOT / "demo" / "shapes")
    options = parser.parse_args(argv)
    answer: Answer = {"answer": "tensorrt_rtx not installed"}
    if importlib.util.find_spec(RTX.module) is not None:
        files = saved(TINY_DIT, options.folder)
        answer = _asked(files, options.mode) | {"version": str(RTX.version)}
    where = machine or this_machine(ROOT, 1)
    record = Record(
        *(f"rtx/{options.mode} {TINY_DIT.name}", RTX.target, "float32", "s"),
        *([answer.get("build_s", 0.0)] * 3),
        repeats=(0, 1),
        machine=where,
        extra=answer,
    )
    print(record.line())
    return 1 if answer["answer"] == "failed" else 0


def _asked(files: Saved, mode: str) -> Answer:
    if mode == "run" and not engine_path(files).exists():
        return {"answer": "no engine; run `build` first"}
    try:
        return build(files) if mode == "build" else run(files)
    except DenoiseRTError as error:
        return {"answer": "failed", "error": str(error)}


if __name__ == "__main__":
    raise SystemExit(main())

"""python -m bench.rtx_engine build|run [--folder DIR]: a TensorRT-RTX engine built without a GPU.

`build` needs no GPU. `run` asks a GPU whether it takes the engine, and if so runs it once against
ONNX Runtime. Both print one record; so they do where TensorRT-RTX is missing. Its calls never
raise: they answer None or False and log, so every answer is checked here.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from types import ModuleType

import numpy as np

from bench.loop.shapes.dit import TINY_DIT
from bench.loop.shapes.files import Saved, inputs, saved
from denoisert.runtime.measure.record import Machine, Record, this_machine

ROOT = Path(__file__).parent.parent
LANES = (1, 2, 4)  # least, usual and most
Answer = dict[str, float | str]


def engine_path(files: Saved) -> Path:
    """Where the engine of a shape lies."""
    return files.root / "rtx.engine"


def build(trt: ModuleType, files: Saved) -> Answer:
    """Compile the graph for any GPU that TensorRT-RTX supports.

    Raises:
        RuntimeError: it refuses the graph.
    """
    logger, start = trt.Logger(trt.Logger.WARNING), perf_counter()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(files.graph)):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT-RTX cannot parse {files.graph.name}: {'; '.join(errors)}")
    _decompose(trt, network)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for port in inputs(TINY_DIT):
        profile.set_shape(port.name, *(port.shape(lanes) for lanes in LANES))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT-RTX built nothing; its log above says why.")
    data = bytes(plan)
    engine_path(files).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    took = round(perf_counter() - start, 3)
    return {"answer": "built", "bytes": len(data), "sha256": digest, "build_s": took}


def _decompose(trt: ModuleType, network: object) -> None:
    """Float32 attention has no kernel of its own there, so it may be taken apart."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            layer.__class__ = trt.IAttentionInputLayer
            layer.attention.decomposable = True


def run(trt: ModuleType, files: Saved) -> Answer:
    """Ask the GPU about the engine; run it where it is accepted.

    Raises:
        RuntimeError: an accepted engine does not run.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    data = engine_path(files).read_bytes()
    validity, diagnostics = runtime.get_engine_validity(data)
    said: Answer = {"validity": validity.name, "diagnostics": int(diagnostics)}
    if validity == trt.EngineValidity.INVALID:
        return {"answer": "refused", **said}
    engine = runtime.deserialize_cuda_engine(data)
    context = engine.create_execution_context() if engine is not None else None
    if context is None:
        raise RuntimeError(f"TensorRT-RTX says {validity.name} and makes no context.")
    generator = np.random.default_rng(0)
    feed = {port.name: _draw(port, generator) for port in inputs(TINY_DIT)}
    found, wanted = _execute(context, feed), _reference(files, feed)
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    return {"answer": "ran", **said, "error": error}


def _draw(port: object, generator: np.random.Generator) -> np.ndarray:
    shape = port.shape(LANES[1])
    is_label = port.dtype == "int64"
    return generator.integers(0, 10, shape) if is_label else generator.random(shape, np.float32)


def _execute(context: object, feed: dict[str, np.ndarray]) -> np.ndarray:
    import torch

    buffers = {name: torch.from_numpy(value).cuda() for name, value in feed.items()}
    for name, buffer in buffers.items():
        context.set_input_shape(name, tuple(buffer.shape))
    output = TINY_DIT.output
    buffers[output.name] = torch.empty(output.shape(LANES[1]), device="cuda")
    for name, buffer in buffers.items():
        context.set_tensor_address(name, buffer.data_ptr())
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    if not context.execute_async_v3(stream.cuda_stream):
        raise RuntimeError("execute_async_v3 answered False; the log above says why.")
    stream.synchronize()
    return buffers[output.name].cpu().numpy()


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
    if importlib.util.find_spec("tensorrt_rtx") is not None:
        trt = importlib.import_module("tensorrt_rtx")
        files = saved(TINY_DIT, options.folder)
        answer = _asked(trt, files, options.mode) | {"version": trt.__version__}
    where = machine or this_machine(ROOT, 1)
    record = Record(
        *(f"rtx/{options.mode} {TINY_DIT.name}", "tensorrt-rtx", "float32", "s"),
        *([answer.get("build_s", 0.0)] * 3),
        repeats=(0, 1),
        machine=where,
        extra=answer,
    )
    print(record.line())
    return 1 if answer["answer"] == "failed" else 0


def _asked(trt: ModuleType, files: Saved, mode: str) -> Answer:
    if mode == "run" and not engine_path(files).exists():
        return {"answer": "no engine; run `build` first"}
    try:
        return build(trt, files) if mode == "build" else run(trt, files)
    except RuntimeError as error:
        return {"answer": "failed", "error": str(error)}


if __name__ == "__main__":
    raise SystemExit(main())

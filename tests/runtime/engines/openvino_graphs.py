"""Graphs in OpenVINO's own form, and their twins for ONNX Runtime."""

from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.group_norm import lower_group_norm
from denoisert.export.precision.int8 import quantise
from denoisert.export.precision.rewrite import narrow
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.openvino import build
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.openvino.engine import OpenVinoEngine
from denoisert.runtime.engines.ort import OrtEngine


def silent(step: str, done: int, count: int) -> None:
    """News of a compiler that nobody reads."""


@dataclass(frozen=True)
class Converted:
    """One graph in both forms."""

    onnx: Path
    root: Path
    xml: Path
    entry: GraphEntry

    def engine(self, **options) -> OpenVinoEngine:
        return OpenVinoEngine(self.xml, self.entry, **{"threads": 1} | options)

    def oracle(self) -> OrtEngine:
        return OrtEngine(self.onnx, self.root, threads=1)


def job(graph: Path, root: Path, out: Path) -> EngineJob:
    return EngineJob("denoiser", "openvino", graph, root, out)


def convert(graph: Path, root: Path, folder: Path, dtype: str = "float32") -> Converted:
    """The graph as the compiler writes it for OpenVINO, below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = ir.load(graph)
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = held(value.const_value, root)
    lower_attention(model)
    lower_group_norm(model)
    if dtype == "int8":
        quantise(model)
    else:
        narrow(model, dtype)
    lowered = folder / "lowered.onnx"
    lowered.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
    xml = folder / f"{graph.stem}.xml"
    with chdir(root):
        build(job(lowered, root, xml), silent)
    ports = OrtEngine(graph, root, threads=1)
    entry = GraphEntry("engine.xml", (), ports.inputs, ports.outputs, dtype=dtype)
    return Converted(graph, root, xml, entry)


def held(tensor: ir.ExternalTensor, root: Path) -> ir.Tensor:
    """A tensor of a file in memory; its location is relative to `root`."""
    there = ir.ExternalTensor(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name or "",
        base_dir=root,
    )
    return ir.Tensor(np.array(there.numpy()), name=tensor.name)


def drawn(engine, lanes: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Buffers whose inputs are random and whose outputs are NaN."""
    rng = np.random.default_rng(seed)
    buffers = {port.name: port.buffer(lanes) for port in (*engine.inputs, *engine.outputs)}
    for port in engine.inputs:
        array = buffers[port.name]
        if array.dtype.kind == "i":
            array[...] = rng.integers(0, 10, array.shape)
        else:
            draw = rng.standard_normal if array.ndim > 1 else lambda size: rng.uniform(size=size)
            array[...] = draw(array.shape)
    for port in engine.outputs:
        buffers[port.name].fill(np.nan)
    return buffers


def answer(engine, lanes: int, buffers) -> dict[str, np.ndarray]:
    """Run one call on copies of the first lanes of some buffers; the outputs."""
    own = {name: array[-lanes:].copy() for name, array in buffers.items()}
    engine.bind(lanes, own).run()
    return {port.name: own[port.name] for port in engine.outputs}


def difference(found, wanted) -> float:
    """Largest relative error of any output."""
    return max(
        float(np.abs(found[name] - wanted[name]).max() / np.abs(wanted[name]).max())
        for name in wanted
    )

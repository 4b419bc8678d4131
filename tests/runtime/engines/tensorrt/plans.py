"""Engines of TensorRT for RTX, compiled for tests, and what a manifest would say about them."""

import hashlib
from dataclasses import replace

import onnx

from denoisert.export.targets.tensorrt.compiler import build
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.dtypes import NUMBERS
from tests.export.targets.tensorrt.graphs import job, silent


def ports(values):
    """Ports of a graph, as the manifest lists them."""
    found = []
    for value in values:
        kind = value.type.tensor_type
        dims = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
        found.append(Port(value.name, NUMBERS[kind.elem_type], dims))
    return tuple(found)


def compiled(graph, profiles, root=None, out=None):
    """The file of an engine, and its entry."""
    wanted = job(graph, tuple(profiles))
    wanted = replace(wanted, root=root or wanted.root, out=out or wanted.out)
    build(wanted, silent)
    described = onnx.load(graph, load_external_data=False).graph
    shown = ports(described.input), ports(described.output)
    entry = GraphEntry("engines/e", (), *shown, profiles=tuple(profiles))
    return wanted.out, entry


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()

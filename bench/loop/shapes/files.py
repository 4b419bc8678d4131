"""Shapes on disk: a graph and one file of random weights beside it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import onnx

from bench.loop.shapes.graph import LANES, WEIGHTS, Graph, Weight
from denoisert.runtime.engines.engine import Port

GRAPH = "denoiser.onnx"
CHUNK = 2**24  # values that one thread draws at once
SEED = 7


class Shape(Protocol):
    """A network that can be described at any size."""

    name: str
    latent: tuple[int, int, int]

    @property
    def conditions(self) -> tuple[Port, ...]:
        """What it reads beside latent and time."""
        ...

    @property
    def output(self) -> Port:
        """What it writes."""
        ...

    def describe(self, graph: Graph) -> str:
        """Add the network to a graph; the result is its prediction."""
        ...


class Saved(NamedTuple):
    """Where a written shape lies; locations of weights are relative to `root`."""

    graph: Path
    root: Path


def inputs(shape: Shape) -> tuple[Port, ...]:
    """Every graph input."""
    latent = Port("latent", "float32", (LANES, *shape.latent))
    return (latent, Port("time", "float32", (LANES,)), *shape.conditions)


def parameters(shape: Shape) -> int:
    """Number of weights, without drawing one."""
    graph = Graph()
    shape.describe(graph)
    return graph.parameters


def saved(shape: Shape, shelf: Path) -> Saved:
    """Write a shape unless the same one is there.

    Args:
        shape: the network.
        shelf: folder of written shapes.

    Returns:
        Its files, in a folder named by the shape and the digest of its graph.
    """
    graph = Graph()
    model = graph.model(inputs(shape), shape.output, shape.describe(graph))
    text = model.SerializeToString(deterministic=True)
    folder = shelf / f"{shape.name}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not folder.exists():
        partial = shelf / f"{folder.name}.{os.getpid()}"
        partial.mkdir(parents=True)
        _draw(graph.weights, partial / WEIGHTS)
        (partial / GRAPH).write_bytes(text)
        onnx.checker.check_model(str(partial / GRAPH))
        _publish(partial, folder)
    return Saved(folder / GRAPH, folder)


def _publish(partial: Path, folder: Path) -> None:
    """Give a written folder its name; another process may have been faster with the same one."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(partial)


def _draw(weights: list[Weight], path: Path) -> None:
    """Draw every weight into its place, chunks side by side."""
    data = np.memmap(path, np.float32, "w+", shape=(weights[-1].end // 4,))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for _ in threads.map(lambda task: _fill(data, *task), _chunks(weights)):
            pass


def _chunks(weights: list[Weight]) -> Iterator[tuple[Weight, int, list[int]]]:
    """Yield weight, first value of the chunk, and the chunk's seed."""
    for index, weight in enumerate(weights):
        for first in range(0, weight.size, CHUNK):
            yield weight, first, [SEED, index, first]


def _fill(data: np.ndarray, weight: Weight, first: int, seed: list[int]) -> None:
    start = weight.offset // 4 + first
    out = data[start : start + min(CHUNK, weight.size - first)]
    np.random.default_rng(seed).standard_normal(out=out, dtype=np.float32)
    out *= weight.deviation
    out += weight.mean

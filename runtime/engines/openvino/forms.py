"""One graph compiled at the shapes that are asked for, or taken from the cache.

A graph computes in the types that it is written in. OpenVINO would rather choose: without a hint it
runs float32 in bfloat16 where the CPU can, and a compiled blob does not remember its hint; so the
hint is given whenever something is compiled or imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import openvino

from denoisert.runtime.engines.blobs import Blobs
from denoisert.runtime.engines.openvino.failures import FAILURES
from denoisert.runtime.errors import EngineError

DEVICE: Final = "CPU"
HINTS: Final = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

Shapes = Mapping[str, tuple[int, ...]]
"""Input -> its dimensions."""

Settings = Mapping[str, str | int | bool]
"""OpenVINO's own names -> values."""


def settings(threads: int, hint: str, group: int) -> Settings:
    """Everything that decides how a graph is computed, so that no default does."""
    return {
        "INFERENCE_PRECISION_HINT": HINTS[hint],
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # several engines share the cores that a process has
    }


class Forms:
    """One graph, compiled at the shapes that are asked for, each once.

    Args:
        graph: the .xml; the .bin lies beside it.
        settings: see there.
        blobs: what was compiled before.
    """

    def __init__(self, graph: Path, settings: Settings, blobs: Blobs) -> None:
        self._graph = graph
        self._settings = dict(settings)
        self._blobs = blobs
        self._core = openvino.Core()
        self._compiled: dict[str, openvino.CompiledModel] = {}
        self._model: openvino.Model | None = None
        self._digest = ""
        self._is_closed = False

    @property
    def model(self) -> openvino.Model:
        """The graph as it is written, read when it is first needed."""
        if self._model is None:
            self._model = self._core.read_model(self._graph)
        return self._model

    def at(self, shapes: Shapes) -> openvino.CompiledModel:
        """The graph for these shapes of its inputs; none leaves them open.

        Raises:
            EngineError: the forms were closed.
            Tampered: somebody else could have written what is in the cache.
            RuntimeError: OpenVINO refuses the graph or the shapes.
        """
        if self._is_closed:
            raise EngineError("the engine is closed. Load it again.")
        name = json.dumps(shapes, sort_keys=True)
        if name not in self._compiled:
            self._compiled[name] = self._imported(shapes) or self._compile(shapes)
        return self._compiled[name]

    def close(self) -> None:
        """Let go of everything; bound calls keep what they need."""
        self._is_closed = True
        self._compiled.clear()
        self._model = None

    def _imported(self, shapes: Shapes) -> openvino.CompiledModel | None:
        """What the cache has, unless it is damaged or of another kind."""
        if not self._blobs.is_kept:
            return None
        blob = self._blobs.read(self._key(shapes))
        if blob is None:
            return None
        try:
            return self._core.import_model(blob, DEVICE, self._settings)
        except FAILURES:
            return None

    def _compile(self, shapes: Shapes) -> openvino.CompiledModel:
        model = self.model
        if shapes:
            model = model.clone()
            model.reshape(
                {name: openvino.PartialShape(list(sizes)) for name, sizes in shapes.items()}
            )
        compiled = self._core.compile_model(model, DEVICE, self._settings)
        if self._blobs.is_kept:
            self._blobs.write(self._key(shapes), compiled.export_model().getvalue())
        return compiled

    def _key(self, shapes: Shapes) -> dict[str, object]:
        """All that a blob depends on: graph, settings, shapes, processor and version."""
        if not self._digest:
            self._digest = _digest((self._graph, self._graph.with_suffix(".bin")))
        return {
            "graph": self._digest,
            "shapes": {name: list(sizes) for name, sizes in shapes.items()},
            "settings": self._settings,
            "processor": self._core.get_property(DEVICE, "FULL_DEVICE_NAME"),
            "capabilities": self._core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"),
            "openvino": openvino.__version__,
        }


def _digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the digests of files."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()

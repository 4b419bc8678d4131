"""Fills a draft bundle: load, graph, engines, parity; one object for each compilation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.export.bundle import Contents, Draft, write_weights
from denoisert.export.fingerprint import Fingerprint, compiler_version
from denoisert.export.graph.externalise import Location, externalise
from denoisert.export.graph.ports import check_ports
from denoisert.export.graph.store import store_graph
from denoisert.export.options import CompileOptions, Progress, Report
from denoisert.export.parity import Parity, draw_trials, find_dead_inputs, measure
from denoisert.export.sources.source import Loaded, ModelSource
from denoisert.export.targets.onnxruntime import OnnxRuntime
from denoisert.export.targets.session import open_graph
from denoisert.export.targets.target import COMPONENT, Built, Target
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry

BUILDERS: Final[Mapping[str, Target]] = {"onnxruntime": OnnxRuntime()}
"""Target name -> its compiler."""

PHASES: Final = ("load", "graph", "engines", "parity", "write")
"""What happens, in order."""

GRAPH_PATH: Final = f"graphs/{COMPONENT}.onnx"


class Build:
    """One compilation; after `fill`, `phases_ms`, `parity` and `notes` tell how it went.

    Args:
        source: the model.
        options: what to build.
        report: called when a phase begins.
    """

    def __init__(self, source: ModelSource, options: CompileOptions, report: Report | None) -> None:
        self.source = source
        self.options = options
        self.report = report
        self.phases_ms: dict[str, float] = {}
        self.parity: tuple[Parity, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._loaded: Loaded | None = None
        self._writing_since = 0.0

    def load(self) -> Loaded:
        """The model, read once."""
        if self._loaded is None:
            with self.phase("load"):
                self._loaded = self.source.load()
            self.notes = self._loaded.notes
        return self._loaded

    def traced_fingerprint(self) -> str:
        """Digest of the graph itself, for models whose code cannot be read."""
        digest = Fingerprint()
        graph = self.load().graph
        for name, value in sorted(graph.graph.initializers.items()):
            tensor = value.const_value
            digest.add(name, tensor.tobytes() if tensor is not None else b"")
        for node in graph.graph:
            digest.add("node", str(node).encode())
        return digest.hexdigest()

    def fill(self, draft: Draft) -> Contents:
        """Write graph, weights and engines, and compare them with the source.

        Raises:
            ExportError: the model cannot be compiled.
            ParityError: a graph differs from the source.
            InvalidInput: model and card disagree.
        """
        loaded = self.load()
        with self.phase("graph"):
            entry, text = self._store(loaded, draft)
        with self.phase("engines"):
            built = {
                name: BUILDERS[name].build(loaded.graph, entry.weights, draft)
                for name in self.options.targets
            }
        with self.phase("parity"):
            self._compare(loaded, entry, text, built, draft)
        self._begin("write")
        self._writing_since = time.perf_counter()
        engines: dict[str, EngineEntry] = {name: each.entry for name, each in built.items()}
        return Contents(self.source.card, {COMPONENT: entry}, engines, compiler_version())

    def finish(self) -> None:
        """Time the last phase, which began when the draft was full."""
        self.phases_ms["write"] = 1e3 * (time.perf_counter() - self._writing_since)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report and time a phase."""
        self._begin(name)
        start = time.perf_counter()
        yield
        self.phases_ms[name] = 1e3 * (time.perf_counter() - start)

    def _begin(self, name: str) -> None:
        if self.report is not None:
            self.report(Progress(name, PHASES.index(name), len(PHASES)))

    def _store(self, loaded: Loaded, draft: Draft) -> tuple[GraphEntry, bytes]:
        def write(tensors: Mapping[str, NDArray[Any]]) -> Location:
            name, places = write_weights(draft.path("weights"), tensors)
            return f"weights/{name}", places

        weights = externalise(loaded.graph, draft.folder, write)
        entry, text = store_graph(loaded.graph, GRAPH_PATH, weights, draft)
        check_ports(self.source.card, entry.inputs, entry.outputs)
        return entry, text

    def _compare(
        self,
        loaded: Loaded,
        entry: GraphEntry,
        text: bytes,
        built: Mapping[str, Built],
        draft: Draft,
    ) -> None:
        generator = np.random.default_rng()
        card = self.source.card
        trials = draw_trials(card, entry.inputs, loaded.evaluate, generator)
        graph = open_graph(text, draft.folder, GRAPH_PATH)
        figures = list(measure("graph", trials, graph))
        for name, engine in built.items():
            figures += measure(name, trials, engine.evaluate)
        self.parity = tuple(figures)
        self.notes += tuple(find_dead_inputs(card, entry.inputs, graph, generator))

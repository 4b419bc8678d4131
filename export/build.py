"""Fills a draft bundle: load, graphs, engines, parity; one object for each compilation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.export.bundle import Contents, Draft, write_weights
from denoisert.export.fingerprint import Fingerprint, compiler_version
from denoisert.export.graph.externalise import Location, externalise
from denoisert.export.graph.ports import check_ports
from denoisert.export.graph.signature import DENOISER
from denoisert.export.graph.store import store_graph
from denoisert.export.options import CompileOptions, Progress, Report
from denoisert.export.parity import Parity, draw_trials, find_dead_inputs, measure
from denoisert.export.sources.source import Component, Loaded, ModelSource
from denoisert.export.targets.onnxruntime import OnnxRuntime
from denoisert.export.targets.session import open_graph
from denoisert.export.targets.target import Built, Target
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry
from denoisert.runtime.errors import InvalidInput

BUILDERS: Final[Mapping[str, Target]] = {"onnxruntime": OnnxRuntime()}
"""Target name -> its compiler."""

PHASES: Final = ("load", "graph", "engines", "parity", "write")
"""What happens, in order."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A component whose graph lies in the draft.

    Args:
        component: in memory; its large weights lie in the draft, too.
        entry: what the manifest says about the graph.
        text: the graph's file.
    """

    component: Component
    entry: GraphEntry
    text: bytes

    @property
    def name(self) -> str:
        """Of the component."""
        return self.component.signature.component


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
            _check_complete(self._loaded)
            self.notes = self._loaded.notes
            for component in self._loaded.components:
                self._note(component.signature.component, component.notes)
        return self._loaded

    def traced_fingerprint(self) -> str:
        """Digest of the graphs themselves, for models whose code cannot be read."""
        digest = Fingerprint()
        for component in self.load().components:
            digest.add("component", component.signature.component.encode())
            graph = component.graph.graph
            for name, value in sorted(graph.initializers.items()):
                tensor = value.const_value
                digest.add(name, tensor.tobytes() if tensor is not None else b"")
            for node in graph:
                digest.add("node", str(node).encode())
        return digest.hexdigest()

    def fill(self, draft: Draft) -> Contents:
        """Write graphs, weights and engines, and compare them with the source.

        Raises:
            ExportError: the model cannot be compiled.
            ParityError: a graph differs from the source.
            InvalidInput: model and card disagree.
        """
        loaded = self.load()
        with self.phase("graph"):
            stored = [_store(component, draft) for component in loaded.components]
            for path, content in loaded.files.items():
                draft.write(path, content)
        with self.phase("engines"):
            built = {name: _build(BUILDERS[name], stored, draft) for name in self.options.targets}
        with self.phase("parity"):
            for graph in stored:
                engines = {target: engines[graph.name] for target, engines in built.items()}
                self._compare(graph, engines, draft)
        self._begin("write")
        self._writing_since = time.perf_counter()
        entries = {name: _engine_entry(BUILDERS[name], each) for name, each in built.items()}
        graphs = {graph.name: graph.entry for graph in stored}
        return Contents(loaded.card, graphs, entries, compiler_version())

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

    def _compare(self, stored: Stored, engines: Mapping[str, Built], draft: Draft) -> None:
        generator = np.random.default_rng()
        signature, ports = stored.component.signature, stored.entry.inputs
        trials = draw_trials(signature, ports, stored.component.evaluate, generator)
        graph = open_graph(stored.text, draft.folder, stored.entry.path)
        figures = list(measure(stored.name, "graph", trials, graph))
        for target, engine in engines.items():
            figures += measure(stored.name, target, trials, engine.evaluate)
        self.parity += tuple(figures)
        self._note(stored.name, tuple(find_dead_inputs(signature, ports, graph, generator)))

    def _note(self, component: str, notes: tuple[str, ...]) -> None:
        """Add notes; those on another graph than the denoiser say which one they mean."""
        where = "" if component == DENOISER else f"{component}: "
        self.notes += tuple(f"{where}{note}" for note in notes)


def _check_complete(loaded: Loaded) -> None:
    """Refuse a model with other graphs than its card names."""
    found = [component.signature.component for component in loaded.components]
    if sorted(found) != sorted(loaded.card.components):
        raise InvalidInput(
            f"the card names the graphs {', '.join(loaded.card.components)}; this kind of model "
            f"has {', '.join(found)}. Leave texts and autoencoder out of its card, or compile a "
            "diffusers folder."
        )


def _store(component: Component, draft: Draft) -> Stored:
    def write(tensors: Mapping[str, NDArray[Any]]) -> Location:
        name, places = write_weights(draft.path("weights"), tensors)
        return f"weights/{name}", places

    weights = externalise(component.graph, draft.folder, write)
    path = f"graphs/{component.signature.component}.onnx"
    entry, text = store_graph(component.graph, path, weights, draft)
    check_ports(component.signature, entry.inputs, entry.outputs)
    return Stored(component, entry, text)


def _build(target: Target, stored: list[Stored], draft: Draft) -> dict[str, Built]:
    """Engine of every component."""
    return {
        each.name: target.build(each.name, each.component.graph, each.entry.weights, draft)
        for each in stored
    }


def _engine_entry(target: Target, built: Mapping[str, Built]) -> EngineEntry:
    """What the manifest says about a target; lane counts are the denoiser's, none means any."""
    lanes = built[DENOISER].entry.outputs[0].dims[0]
    buckets = (lanes,) if isinstance(lanes, int) else ()
    return EngineEntry(target.version, {name: each.entry for name, each in built.items()}, buckets)

"""Fills a draft bundle, one part of the model after the other; one object for each compilation.

A part is built, traced, stored, evaluated and let go before its engines are opened, and those are
opened one after the other: its weights are in memory once, and beside them no other part's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from denoisert.export.bundle import Contents, Draft, write_weights
from denoisert.export.cost import EngineNeed
from denoisert.export.division import Division, Part
from denoisert.export.engines import Engines
from denoisert.export.fingerprint import Fingerprint, compiler_version
from denoisert.export.graph.externalise import Location, externalise
from denoisert.export.graph.ports import check_ports, read_ports
from denoisert.export.graph.signature import DENOISER, Signature
from denoisert.export.graph.store import store_graph
from denoisert.export.options import CompileOptions, Progress, Report
from denoisert.export.parity import Parity, Trial, draw_trials, find_dead_inputs, measure
from denoisert.export.sources.source import Component, Loaded, ModelSource
from denoisert.export.targets.process import Built
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.conditioner import CONDITIONER
from denoisert.runtime.engines.heap import trim
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.export.precision.report import PrecisionReport

STAGES: Final = ("load", "graph", "reference", "parity", "engines")
"""What happens to every part, in order."""

WRITE: Final = "write"
"""What happens to the whole in the end."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A part whose graph lies in the draft; its source is in memory no more.

    Args:
        signature: what the runtime feeds and reads.
        model: without its large weights, which lie in the draft.
        entry: what the manifest says about the graph.
        text: the graph's file.
        trials: inputs, and what the source made of them.
    """

    signature: Signature
    model: ir.Model
    entry: GraphEntry
    text: bytes
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """Of the component."""
        return self.signature.component


class Build:
    """One compilation; after `fill`, `phases_ms`, `parity` and `notes` tell how it went.

    Args:
        source: the model.
        options: what to build.
        report: called when a phase of a part begins.
    """

    def __init__(self, source: ModelSource, options: CompileOptions, report: Report | None) -> None:
        self.source = source
        self.options = options
        self.report = report
        self.phases_ms: dict[str, float] = {}
        self.parity: tuple[Parity, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.built: Mapping[str, Built] = {}
        self.expected: Mapping[str, EngineNeed] = {}
        self.reports: tuple[PrecisionReport, ...] = ()
        self._loaded: Loaded | None = None
        self._writing_since = 0.0
        self._phase = ""
        self._begun = 0

    def load(self) -> Loaded:
        """The model, opened once."""
        if self._loaded is None:
            with self.phase("load"):
                self._loaded = self.source.load()
            self.notes = self._loaded.notes
            if isinstance(self._loaded.components, tuple):
                _check_complete(self._loaded, [_name(each) for each in self._loaded.components])
        return self._loaded

    def traced_fingerprint(self) -> str:
        """Digest of the graphs themselves, for models whose code cannot be read.

        Such a model is kept whole until it is stored.
        """
        digest = Fingerprint()
        loaded = self.load()
        components = tuple(loaded.components)
        self._loaded = replace(loaded, components=components)
        for component in components:
            digest.add("component", _name(component).encode())
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
        with draft.scratch() as scratch:
            engines = Engines(loaded.card, self.options, draft, scratch, self._step)
            try:
                graphs = self._parts(loaded, draft, engines)
            finally:
                engines.stop()
        entries = engines.entries()
        made = [graph for entry in entries.values() for graph in entry.graphs.values()]
        draft.drop_unused({path for each in (*graphs.values(), *made) for path in each.weights})
        for path, content in loaded.files.items():
            draft.write(path, content)
        self._begin(WRITE)
        self._writing_since = time.perf_counter()
        card = loaded.card if loaded.complete is None else loaded.complete(loaded.card)
        self.built, self.expected = engines.built, engines.expected
        self.reports = tuple(engines.reports)
        self.parity += tuple(engines.parity)
        self.notes += tuple(engines.notes)
        return Contents(card, graphs, entries, compiler_version())

    def finish(self) -> None:
        """Time the last phase, which began when the draft was full."""
        self.phases_ms[WRITE] = 1e3 * (time.perf_counter() - self._writing_since)

    def _store(self, parts: Iterator[Component], draft: Draft) -> tuple[Stored, ...]:
        """Read the next part, write its graph and weights, ask it for answers and let it go.

        Returns:
            The part; of a denoiser that is divided both halves, the conditioner first.
        """
        _give_back()
        with self.phase("load"):
            component = next(parts, None)
        if component is None:
            return ()
        signature, model = component.signature, component.graph
        self._note(signature.component, component.notes)
        with self.phase("graph"):
            ports, division = read_ports(model.graph.inputs), self._division(component)
            graphs = {signature.component: model} if division is None else division.graphs
            files = {name: _store(name, graph, draft) for name, graph in graphs.items()}
        with self.phase("reference"):
            generator = np.random.default_rng()
            trials = draw_trials(signature, ports, component.evaluate, generator)
            meant: tuple[Part, ...] = ((signature, trials),)
            if division is not None:
                entry, text = files[CONDITIONER]
                meant = division.parts(trials, open_graph(text, draft.folder, entry.path))
        return tuple(_stored(*each, graphs, files) for each in meant)

    def _division(self, component: Component) -> Division | None:
        """The halves of the denoiser, where it is worth two graphs."""
        if _name(component) != DENOISER:
            return None
        division = Division.of(component.graph, component.signature, self.load().card)
        if division is not None:
            self._note(DENOISER, (division.note,))
        return division

    def _parts(self, loaded: Loaded, draft: Draft, engines: Engines) -> dict[str, GraphEntry]:
        """Every part's graph, with its engines made; all of them give the source's answers."""
        parts = iter(loaded.components)
        graphs: dict[str, GraphEntry] = {}
        while len(graphs.keys() - {CONDITIONER}) < len(loaded.card.components):
            found = self._store(parts, draft)
            if not found:
                break
            for stored in found:
                graphs[stored.name] = stored.entry
                with self.phase("parity"):
                    self._compare(stored, draft)
                _give_back()
                with self.phase("engines"):
                    engines.add(stored.name, stored.model, stored.entry, stored.trials)
        _check_complete(loaded, [*(graphs.keys() - {CONDITIONER}), *map(_name, parts)])
        with self.phase("engines"):
            engines.finish()
        return graphs

    def _step(self, name: str, done: int, count: int) -> None:
        """News of a compiler, as a phase of its own that does not count."""
        if self.report is not None:
            self.report(Progress(f"{name} {done}/{count}", self._begun - 1, self._count()))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report and time a phase."""
        self._begin(name)
        start = time.perf_counter()
        yield
        elapsed_ms = 1e3 * (time.perf_counter() - start)
        self.phases_ms[name] = self.phases_ms.get(name, 0.0) + elapsed_ms

    def _compare(self, stored: Stored, draft: Draft) -> None:
        """The bundle's own graph."""
        _give_back()
        graph = open_graph(stored.text, draft.folder, stored.entry.path)
        figures = list(measure(stored.name, "graph", stored.trials, graph))
        signature, ports = stored.signature, stored.entry.inputs
        dead = tuple(find_dead_inputs(signature, ports, graph, np.random.default_rng()))
        self.parity += tuple(figures)
        self._note(stored.name, dead)

    def _begin(self, name: str) -> None:
        """Report a phase, unless it goes on: opening a model and reading its first part is one."""
        if name == self._phase:
            return
        if self.report is not None:
            self.report(Progress(name, self._begun, self._count()))
        self._phase = name
        self._begun += 1

    def _count(self) -> int:
        """Phases in all: those of every part, and writing."""
        return len(STAGES) * len(self.source.card.components) + 1

    def _note(self, component: str, notes: tuple[str, ...]) -> None:
        """Add notes; those on another graph than the denoiser say which one they mean."""
        where = "" if component == DENOISER else f"{component}: "
        self.notes += tuple(f"{where}{note}" for note in notes)


def _give_back() -> None:
    """Free what is not needed any more: a traced module hangs in cycles, its weights with it."""
    gc.collect()
    trim()


def _name(component: Component) -> str:
    return component.signature.component


def _check_complete(loaded: Loaded, found: list[str]) -> None:
    """Refuse a model with other graphs than its card names."""
    if sorted(found) != sorted(loaded.card.components):
        raise InvalidInput(
            f"the card names the graphs {', '.join(loaded.card.components)}; this kind of model "
            f"has {', '.join(found)}. Leave texts and autoencoder out of its card, or compile a "
            "diffusers folder."
        )


def _store(name: str, model: ir.Model, draft: Draft) -> tuple[GraphEntry, bytes]:
    """Write the weights and the graph of a part: its entry, and the graph's file."""

    def write(tensors: Mapping[str, NDArray[Any]]) -> Location:
        name, places = write_weights(draft.path("weights"), tensors)
        return f"weights/{name}", places

    weights = externalise(model, draft.folder, write)
    return store_graph(model, f"graphs/{name}.onnx", weights, draft)


def _stored(
    signature: Signature,
    trials: tuple[Trial, ...],
    graphs: Mapping[str, ir.Model],
    files: Mapping[str, tuple[GraphEntry, bytes]],
) -> Stored:
    """A part with its file, whose ports are those of its signature."""
    name = signature.component
    entry, text = files[name]
    check_ports(signature, entry.inputs, entry.outputs)
    return Stored(signature, graphs[name], entry, text, trials)

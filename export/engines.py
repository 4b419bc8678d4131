"""The engines of one bundle: lowered at once, compiled in processes of their own, then tried."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from denoisert.export.bundle import Draft
from denoisert.export.cost import EngineNeed, Extent, engine_need
from denoisert.export.graph.store import store_graph
from denoisert.export.options import CompileOptions
from denoisert.export.parity import Parity, Trial, measure
from denoisert.export.room import Room
from denoisert.export.targets.answers import answers
from denoisert.export.targets.crew import CompilerCrew, Step
from denoisert.export.targets.form import Form, Place, form_of
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.process import Built
from denoisert.export.targets.profiles import profiles_of
from denoisert.export.targets.session import open_graph
from denoisert.export.targets.store import EngineStore, engine_digest, outputs
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry
from denoisert.runtime.engines.here import obstacle, version_of
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.engines.profile import profile_buckets
from denoisert.runtime.engines.target import CPU, EngineTarget, OnnxRuntime, engine_key

if TYPE_CHECKING:
    from denoisert.export.precision.report import PrecisionReport

SUFFIXES: Mapping[str, str] = {"openvino": ".xml", "tensorrt-rtx": ".engine", "tensorrt": ".engine"}
"""Target -> ending of the file that its library opens."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An engine that is being compiled.

    Args:
        job: what its compiler was told.
        target: what will run it.
        entry: what the manifest will say, but for its files.
        trials: inputs, and what the source made of them.
        built: when it is there.
    """

    job: EngineJob
    target: EngineTarget
    entry: GraphEntry
    trials: tuple[Trial, ...]
    built: Future[Built]


class Engines:
    """Makes engines of graphs that lie in a draft.

    Attributes:
        built: component and key -> what compiling it took.
        expected: the same -> what it was expected to take, once its graph was known.
        parity: figures of all engines that were tried, and of the forms that they were made of.
        notes: what the user should know, one sentence each.
        reports: layer by layer, where they were asked for.

    Args:
        card: what the model means.
        options: targets and how engines are built.
        draft: where graphs and weights lie, and engines go.
        scratch: folder for graphs that only compilers read.
        step: called with the news of compilers.
    """

    def __init__(
        self, card: Card, options: CompileOptions, draft: Draft, scratch: Path, step: Step
    ) -> None:
        self._card = card
        self._options = options
        self._draft = draft
        self._scratch = scratch
        settings = options.engines
        store = None if settings.cache is None else EngineStore(Path(settings.cache))
        memory = settings.memory_bytes or Room.beside(draft.folder).memory_bytes
        self._crew = CompilerCrew(memory, store, step, settings.memory_bytes)
        self._pending: list[Pending] = []
        self._entries: dict[str, dict[str, GraphEntry]] = {key: {} for key in options.keys}
        self.built: dict[str, Built] = {}
        self.expected: dict[str, EngineNeed] = {}
        self.parity: list[Parity] = []
        self.notes: list[str] = []
        self.reports: list[PrecisionReport] = []

    def add(self, name: str, model: ir.Model, graph: GraphEntry, trials: tuple[Trial, ...]) -> None:
        """Make the engines of a part, or begin to.

        Args:
            name: of the component.
            model: its graph, whose large weights lie in the draft.
            graph: what the manifest says about it.
            trials: inputs, and what the source made of them.

        Raises:
            ExportError: a target cannot run the graph.
            ParityError: it answers otherwise than the source.
        """
        place = Place(self._draft, self._scratch, graph.weights, self._options.engines.examined)
        for target in self._options.targets:
            form = form_of(name, model, target, trials, place)
            self.parity += form.parity
            self.notes += form.notes
            self.reports += [] if form.report is None else [form.report]
            if isinstance(target, OnnxRuntime):
                self._store(target, name, form, trials)
            else:
                self._submit(target, name, form, graph, trials)

    def finish(self) -> None:
        """Wait for what is being compiled, and try what runs here.

        Raises:
            BuildError: an engine could not be built; the message has its compiler's words.
            ParityError: it answers otherwise than the source.
        """
        self._crew.finish()
        for pending in self._pending:
            key, name = engine_key(pending.target), pending.job.component
            paths = [f"engines/{key}/{path.name}" for path in outputs(pending.job)]
            weights = tuple(path for path in paths if path != pending.entry.path)
            entry = replace(pending.entry, weights=weights)
            self._entries[key][name] = entry
            self.built[f"{name} {key}"] = pending.built.result()
            if not obstacle(pending.target):
                self._try(key, name, entry, pending.trials)

    def stop(self) -> None:
        """End all compilers; harmless when none runs."""
        self._crew.stop()

    def entries(self) -> dict[str, EngineEntry]:
        """What the manifest says about every target; lane counts are the denoiser's."""
        return {
            key: _engine_entry(target, self._entries[key], self._options.engines.capabilities)
            for key, target in self._options.keys.items()
        }

    def _store(self, target: OnnxRuntime, name: str, form: Form, trials: tuple[Trial, ...]) -> None:
        """An engine that is an ONNX file."""
        key = engine_key(target)
        path = f"engines/{key}/{name}.onnx"
        entry, text = store_graph(form.model, path, form.weights, self._draft)
        self._entries[key][name] = replace(entry, dtype=form.dtype)
        graph = open_graph(text, self._draft.folder, path)
        self.parity += measure(name, key, trials, graph, form.dtype)

    def _submit(
        self,
        target: EngineTarget,
        name: str,
        form: Form,
        graph: GraphEntry,
        trials: tuple[Trial, ...],
    ) -> None:
        """An engine that a library compiles from an ONNX file."""
        text = ir.to_proto(form.model).SerializeToString(deterministic=True)
        job = self._job(target, name, text, graph)
        digest = engine_digest(job, text, version_of(target) or "", form.weights)
        need = engine_need(name, self._extent(form.model, graph, job), target)
        self.expected[need.name] = need
        built = self._crew.submit(job, digest, need.memory_bytes)
        entry = replace(
            graph,
            path=job.out.relative_to(self._draft.folder).as_posix(),
            weights=(),
            opset=0,
            dtype=form.dtype,
            profiles=job.profiles if target.device != CPU else (),
        )
        self._pending.append(Pending(job, target, entry, trials, built))

    def _job(self, target: EngineTarget, name: str, text: bytes, graph: GraphEntry) -> EngineJob:
        key, settings = engine_key(target), self._options.engines
        place = self._scratch / f"{key}-{name}.onnx"
        place.write_bytes(text)
        out = self._draft.path(f"engines/{key}/{name}{SUFFIXES[target.name]}")
        profiles = profiles_of(self._card, name, graph.inputs, settings)
        root, capabilities = self._draft.folder, settings.capabilities
        return EngineJob(name, target.name, place, root, out, profiles, capabilities)

    def _extent(self, model: ir.Model, graph: GraphEntry, job: EngineJob) -> Extent:
        size = sum((self._draft.folder / path).stat().st_size for path in graph.weights)
        operators = [node.op_type for node in model.graph]
        return Extent(size, len(operators), operators.count("Attention"), len(job.profiles))

    def _try(self, key: str, name: str, entry: GraphEntry, trials: tuple[Trial, ...]) -> None:
        calls = [(trial.inputs, trial.sizes) for trial in trials]
        found = iter(answers(self._draft.folder, entry, key, calls))
        self.parity += measure(name, key, trials, lambda _: next(found), entry.dtype)


def _engine_entry(
    target: EngineTarget, graphs: Mapping[str, GraphEntry], capabilities: tuple[str, ...]
) -> EngineEntry:
    denoiser = graphs[DENOISER]
    lanes = denoiser.outputs[0].dims[0]
    buckets = (lanes,) if isinstance(lanes, int) else profile_buckets(denoiser.profiles)
    held = capabilities if target.device != CPU else ()
    return EngineEntry(version_of(target) or "", graphs, buckets, held)

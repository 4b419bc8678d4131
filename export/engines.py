"""The engines of one bundle: lowered at once, compiled in processes of their own, then tried."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from denoisert.export.bundle import Draft
from denoisert.export.graph.store import store_graph
from denoisert.export.options import CompileOptions
from denoisert.export.parity import Parity, Trial, measure
from denoisert.export.room import Room
from denoisert.export.targets.answers import answers
from denoisert.export.targets.crew import CompilerCrew, Step
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.lowering import lowered
from denoisert.export.targets.process import Built
from denoisert.export.targets.profiles import profiles_of
from denoisert.export.targets.session import open_graph
from denoisert.export.targets.store import EngineStore, engine_digest, outputs
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry
from denoisert.runtime.engines.here import obstacle, version_of
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.engines.profile import profile_buckets
from denoisert.runtime.engines.target import EngineTarget, OnnxRuntime, engine_key
from denoisert.runtime.errors import BuildError

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

    Args:
        card: what the model means.
        options: targets and how engines are built.
        draft: where graphs and weights lie, and engines go.
        scratch: folder for graphs that only compilers read.
        step: called with the news of compilers.

    Raises:
        BuildError: a target's library is not installed.
    """

    def __init__(
        self, card: Card, options: CompileOptions, draft: Draft, scratch: Path, step: Step
    ) -> None:
        check_installed(options.targets)
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

    def add(
        self, name: str, model: ir.Model, graph: GraphEntry, trials: tuple[Trial, ...]
    ) -> tuple[Parity, ...]:
        """Make the engines of a part, or begin to.

        Args:
            name: of the component.
            model: its graph, whose large weights lie in the draft.
            graph: what the manifest says about it.
            trials: inputs, and what the source made of them.

        Returns:
            Parity of the engines that are there already.

        Raises:
            ExportError: a target cannot run the graph.
            ParityError: it answers otherwise than the source.
        """
        figures: tuple[Parity, ...] = ()
        for key, target in self._options.keys.items():
            form = lowered(model, target)
            if isinstance(target, OnnxRuntime):
                figures += self._store(key, name, form, graph, trials)
            else:
                self._submit(target, name, form, graph, trials)
        return figures

    def finish(self) -> tuple[Parity, ...]:
        """Wait for what is being compiled, and try what runs here.

        Raises:
            BuildError: an engine could not be built; the message has its compiler's words.
            ParityError: it answers otherwise than the source.
        """
        self._crew.finish()
        figures: tuple[Parity, ...] = ()
        for pending in self._pending:
            files = [f"{pending.job.out.parent.name}/{path.name}" for path in outputs(pending.job)]
            paths = [f"engines/{file}" for file in files]
            weights = tuple(path for path in paths if path != pending.entry.path)
            entry = replace(pending.entry, weights=weights)
            key, name = engine_key(pending.target), pending.job.component
            self._entries[key][name] = entry
            self.built[f"{name} {key}"] = pending.built.result()
            if not obstacle(pending.target):
                figures += self._try(key, name, entry, pending.trials)
        return figures

    def stop(self) -> None:
        """End all compilers; harmless when none runs."""
        self._crew.stop()

    def entries(self) -> dict[str, EngineEntry]:
        """What the manifest says about every target; lane counts are the denoiser's."""
        return {
            key: _engine_entry(target, self._entries[key], self._options.engines.capabilities)
            for key, target in self._options.keys.items()
        }

    def _store(
        self, key: str, name: str, form: ir.Model, graph: GraphEntry, trials: tuple[Trial, ...]
    ) -> tuple[Parity, ...]:
        """An engine that is an ONNX file."""
        path = f"engines/{key}/{name}.onnx"
        entry, text = store_graph(form, path, graph.weights, self._draft)
        self._entries[key][name] = entry
        return measure(name, key, trials, open_graph(text, self._draft.folder, path))

    def _submit(
        self,
        target: EngineTarget,
        name: str,
        form: ir.Model,
        graph: GraphEntry,
        trials: tuple[Trial, ...],
    ) -> None:
        """An engine that a library compiles from an ONNX file."""
        key = engine_key(target)
        text = ir.to_proto(form).SerializeToString(deterministic=True)
        place = self._scratch / f"{key}-{name}.onnx"
        place.write_bytes(text)
        out = f"engines/{key}/{name}{SUFFIXES[target.name]}"
        profiles = profiles_of(self._card, name, graph.inputs, self._options.engines)
        job = EngineJob(
            name,
            target.name,
            place,
            self._draft.folder,
            self._draft.path(out),
            profiles,
            self._options.engines.capabilities,
        )
        digest = engine_digest(job, text, version_of(target) or "", graph.weights)
        built = self._crew.submit(job, digest, self._need(graph))
        held = profiles if target.device != "cpu" else ()
        entry = replace(graph, path=out, weights=(), opset=0, dtype=target.dtype, profiles=held)
        self._pending.append(Pending(job, target, entry, trials, built))

    def _need(self, graph: GraphEntry) -> int:
        return 4 * sum((self._draft.folder / path).stat().st_size for path in graph.weights)

    def _try(
        self, key: str, name: str, entry: GraphEntry, trials: tuple[Trial, ...]
    ) -> tuple[Parity, ...]:
        inputs = [trial.inputs for trial in trials]
        found = iter(answers(self._draft.folder, entry, key, inputs))
        return measure(name, key, trials, lambda _: next(found))


def check_installed(targets: tuple[EngineTarget, ...]) -> None:
    """Refuse targets whose compiler is not installed, before work starts.

    Raises:
        BuildError: names what to install.
    """
    for target in targets:
        if version_of(target) is None:
            raise BuildError(
                f"compiling for {target.name} needs its library, which is not installed. Run: pip "
                f"install 'denoisert[{target.name}]'"
            )


def _engine_entry(
    target: EngineTarget, graphs: Mapping[str, GraphEntry], capabilities: tuple[str, ...]
) -> EngineEntry:
    denoiser = graphs[DENOISER]
    lanes = denoiser.outputs[0].dims[0]
    buckets = (lanes,) if isinstance(lanes, int) else profile_buckets(denoiser.profiles)
    held = capabilities if target.device != "cpu" else ()
    return EngineEntry(version_of(target) or "", graphs, buckets, held)

"""`compile_bundle`: one model in, one verified bundle out; the same again costs no work.

The cache key is taken from bytes, so torch is imported only when something has to be built.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.export.advice import check_advice, check_card
from denoisert.export.bundle import write_bundle
from denoisert.export.demand import check_demand
from denoisert.export.fingerprint import Fingerprint, add_compiler
from denoisert.export.need import Need, check_room, need_of
from denoisert.export.options import Compiled, CompileOptions, Progress, Report
from denoisert.export.room import Room
from denoisert.export.sources.lone import refuse_lone
from denoisert.export.sources.source import ModelSource
from denoisert.export.sources.zoo import ZooFolder, refuse_pickle, zoo_folder, zoo_names
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import NAME
from denoisert.runtime.engines.here import version_of
from denoisert.runtime.errors import ExportError, InvalidInput

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.build import Build
    from denoisert.export.bundle import Contents, Draft

INDEX_NAME = "model_index.json"
"""What makes a folder one of diffusers."""


def compile_bundle(
    model: str | os.PathLike[str] | nn.Module,
    out: str | os.PathLike[str],
    *,
    card: Card | None = None,
    options: CompileOptions | None = None,
    progress: Report | None = None,
    before: Callable[[Need], None] | None = None,
) -> Compiled:
    """Compile a model into a bundle.

    Args:
        model: a zoo model's name or folder, a diffusers folder, one safetensors file of a whole
            model (`options.config` then has its configurations), one ONNX file of a denoiser, a
            torch module, or a bundle that is to have other engines.
        out: the bundle's folder: new, empty, or an older bundle, which stays until the end.
        card: needed for an ONNX file and a torch module; replaces a folder's own.
        options: targets, by default ONNX Runtime; sizes, tile and LoRAs of a diffusers folder.
        progress: called when a phase begins and when all is done.
        before: called with what it will take, before work starts; not where nothing is to be done.

    Returns:
        Where the bundle lies, its id, whether it was there already, times and parity figures.

    Raises:
        InvalidInput: no such model, model and card disagree, the card recommends a sampler that
            cannot run, or no target takes the static size or capability that is asked for.
        BuildError: a target's library is not installed, does not know a capability, or fails.
        ExportError: the model cannot be compiled, or its graph differs from it (`ParityError`).
        BundleError: `out` is something else than a bundle, or cannot be written.
        OutOfMemory: it would take more memory than there is; nothing was begun.
    """
    check_card(card)
    chosen = options or CompileOptions()
    source = find_source(model, card, chosen)
    check_advice(source.card)
    check_demand(source.card, chosen)
    need, place = need_of(source.parts, chosen.targets), Path(out)
    if not (place / NAME).is_file():  # else it may be there already, and nothing is needed
        check_room(need, Room.beside(place))
    task = _Task(source, chosen, progress)

    def fill(draft: Draft) -> Contents:
        check_room(need, Room.beside(place))
        if before is not None:
            before(need)
        return task.fill(draft)

    manifest = write_bundle(out, task.key(), fill, needed_bytes=need.disk_bytes)
    return task.result(place, manifest.id)


def find_source(
    model: str | os.PathLike[str] | nn.Module,
    card: Card | None = None,
    options: CompileOptions | None = None,
) -> ModelSource:
    """The source that a model argument means.

    Args:
        model: see `compile_bundle`.
        card: see `compile_bundle`.
        options: only a diffusers folder takes a size, a tile and LoRAs.

    Raises:
        InvalidInput: nothing of that name, a card is missing, or a size that cannot be chosen.
        ExportError: a kind of file that is not read.
    """
    chosen = options or CompileOptions()
    if not isinstance(model, str | os.PathLike):
        _refuse_choices(chosen)
        return _module_source(model, card)
    path = Path(model)
    if chosen.config is not None:
        return _checkpoint_source(path, card, chosen)
    if isinstance(model, str) and not path.exists() and model in zoo_names():
        path = zoo_folder(model)
    if (path / INDEX_NAME).is_file():
        return _diffusers_source(path, card, chosen)
    refuse_pickle(path)
    if not path.exists():
        raise InvalidInput(
            f"there is no model {os.fspath(model)!r}. Give the folder of a model, an ONNX file, or "
            f"one of {', '.join(zoo_names())}."
        )
    refuse_lone(path)
    _refuse_choices(chosen)
    if (path / NAME).is_file():
        return _bundle_source(path, card)
    return ZooFolder(path, card) if path.is_dir() else _onnx_source(path, card)


class _Task:
    """One call of `compile_bundle`: the key first, the heavy part only if asked to fill."""

    def __init__(self, source: ModelSource, options: CompileOptions, report: Report | None) -> None:
        self.source = source
        self.options = options
        self.report = report
        self.has_written = False
        self._build: Build | None = None

    def key(self) -> str:
        """Digest of model, card, options and compiler."""
        fingerprint = Fingerprint()
        model = self.source.fingerprint() or self.build().traced_fingerprint()
        fingerprint.add("model", model.encode())
        fingerprint.add("card", self.source.card.to_json())
        # what does not change the bundle; LoRAs and configurations count by content
        engines = replace(self.options.engines, cache=None, memory_bytes=None, examined=0)
        options = replace(self.options, loras=(), config=None, engines=engines)
        fingerprint.add("options", repr(options).encode())
        for target in self.options.targets:
            fingerprint.add(target.name, (version_of(target) or "").encode())
        add_compiler(fingerprint)
        return fingerprint.hexdigest()

    def build(self) -> Build:
        """The heavy part, made at the first use."""
        if self._build is None:
            from denoisert.export.build import Build

            self._build = Build(self.source, self.options, self.report)
        return self._build

    def fill(self, draft: Draft) -> Contents:
        """Fill the draft; not called when the bundle is there already."""
        self.has_written = True
        return self.build().fill(draft)

    def result(self, out: Path, bundle_id: str) -> Compiled:
        """What happened."""
        if self.report is not None:
            self.report(Progress("done", 1, 1))
        if not self.has_written:
            return Compiled(out, bundle_id, True, {}, (), ())
        build = self.build()
        build.finish()
        return Compiled(
            out,
            bundle_id,
            False,
            build.phases_ms,
            build.parity,
            build.notes,
            reports=build.reports,
            built=build.built,
            expected=build.expected,
        )


def _module_source(model: object, card: Card | None) -> ModelSource:
    from denoisert.export.sources.module import TorchModule, is_module

    if not is_module(model):
        raise InvalidInput(
            f"model is a {type(model).__name__}; give a path, a zoo name or a torch.nn.Module."
        )
    if card is None:
        raise InvalidInput("a torch module needs a card; pass card=Card(...).")
    return TorchModule(model, card)


def _refuse_choices(options: CompileOptions) -> None:
    if options.config is not None:
        raise InvalidInput(
            f"config {options.config} goes with the path of one safetensors file; leave it out."
        )
    if options.sizes or options.tile is not None:
        raise InvalidInput(
            "sizes and tile can be chosen for a diffusers folder; any other model has the sizes "
            "that its card says. Leave them out."
        )
    if options.loras:
        raise InvalidInput(
            f"LoRA {options.loras[0].name} can be merged into a diffusers folder, whose layers "
            "have known names; leave it out, or merge it before and compile the result."
        )


def _diffusers_source(path: Path, card: Card | None, options: CompileOptions) -> ModelSource:
    from denoisert.export.sources.diffusers.source import DiffusersFolder

    return DiffusersFolder(path, card, options)


def _checkpoint_source(path: Path, card: Card | None, options: CompileOptions) -> ModelSource:
    from denoisert.export.sources.diffusers.original.checkpoint import Checkpoint
    from denoisert.export.sources.diffusers.source import DiffusersFolder

    checkpoint, folder = Checkpoint(path), Path(options.config or "")
    if not folder.is_dir():
        raise InvalidInput(
            f"--config {folder} is no folder. Give a local one with {INDEX_NAME}, configurations "
            f"and tokenizers of the model of {path.name}, as diffusers saves them."
        )
    refuse_lone(folder)
    return DiffusersFolder(folder, card, options, checkpoint)


def _bundle_source(path: Path, card: Card | None) -> ModelSource:
    if card is not None:
        raise InvalidInput(f"{path.name} is a bundle, which has a card of its own; leave card out.")
    from denoisert.export.sources.bundle import BundleFolder

    return BundleFolder(path)


def _onnx_source(path: Path, card: Card | None) -> ModelSource:
    if path.suffix.lower() != ".onnx":
        raise ExportError(
            f"{path.name} is not a kind of model that is read; give an .onnx file, the folder of a "
            "model, or a torch module from Python."
        )
    if card is None:
        raise InvalidInput(
            f"{path.name} needs a card (--card card.json): docs/card.md lists its keys."
        )
    from denoisert.export.sources.onnx_file import OnnxFile

    return OnnxFile(path, card)

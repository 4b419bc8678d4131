"""A folder as diffusers saves it -> the graphs of a bundle.

What its configurations mean is its family's to say. Everything on the card comes from them, so the
cache key needs no torch; only the read-out for previews waits until the decoder is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import starmap
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from denoisert.export.families.family import Material
from denoisert.export.families.table import family_of
from denoisert.export.fingerprint import Fingerprint
from denoisert.export.lora.file import open_lora
from denoisert.export.lora.record import RECORD, name_with, write_record
from denoisert.export.need import Part
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.activations import FLOAT_BYTES, activation_bytes
from denoisert.export.sources.diffusers.folder import CONFIG_NAMES, read_folder
from denoisert.export.sources.diffusers.readme import UNKNOWN_LICENCE, Readme, read_readme
from denoisert.export.sources.diffusers.stored import Files, Stored
from denoisert.export.sources.diffusers.tokenizers import read_tokenizers
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.export.sources.source import Loaded
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature
    from denoisert.export.lora.merge import Merging
    from denoisert.export.sources.diffusers.component import Component
    from denoisert.export.sources.diffusers.original.checkpoint import Checkpoint
    from denoisert.export.sources.diffusers.preview import Preview
    from denoisert.export.sources.source import Component as Graph

STEMS: Final = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""Library -> how it names its weight files."""

FLOAT: Final = "float32"
"""What networks compute in; other weights are converted."""

AUTOENCODER: Final = "vae"
"""The component that no LoRA changes."""


class DiffusersFolder:
    """A model in a diffusers folder.

    Args:
        path: the folder; it has a `model_index.json`.
        card: instead of the one that follows from the folder.
        options: size, tile and LoRAs.
        checkpoint: one file that holds weights of some components, the denoiser's among them; the
            folder needs none for these.

    Raises:
        ExportError: the folder is not of a kind that is compiled, or not whole; a LoRA that cannot
            be read.
        InvalidInput: a size or tile that does not fit.
    """

    def __init__(
        self,
        path: Path,
        card: Card | None = None,
        options: CompileOptions | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        chosen = options or CompileOptions()
        self.folder = read_folder(path)
        self._checkpoint = checkpoint
        self._loras = [open_lora(lora) for lora in chosen.loras]
        self._material = Material(
            self.folder,
            self._readme(),
            read_tokenizers(self.folder),
            chosen,
        )
        self._family = family_of(self.folder.class_name)
        self._sampling = self._family.sampling(self._material)
        self.card = card or self._own_card()
        self._weights = self._find_weights()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every network; weights in float32 files stay there unless something changes them."""
        is_changed = bool(self._loras) or self._checkpoint is not None
        return tuple(self._part(name, stored, is_changed) for name, stored in self._weights.items())

    def fingerprint(self) -> str:
        """Digest of every component's configuration and weights, and of the tokenizers."""
        digest, digested = Fingerprint(), set[Path]()
        digest.add("pipeline", self.folder.class_name.encode())
        for name, part in sorted(self.folder.components.items()):
            digest.add(name, repr((part.class_name, sorted(part.config.items()))).encode())
            for path in self._weights[name].files if name in self._weights else ():
                if path not in digested:  # a checkpoint has several components
                    digest.add_file(path.name, path)
                digested.add(path)
        for name, tokens in sorted(self._material.tokens.items()):
            digest.add(name, repr(tokens).encode())
        for file in self._loras:
            digest.add("lora", repr((file.name, file.lora.weight, file.adapters)).encode())
            digest.add_file(file.name, file.path)
        return digest.hexdigest()

    def load(self) -> Loaded:
        """Check weights and LoRAs against the networks, and begin to build and trace them.

        Iterating over the components raises `ExportError` where torch cannot export one.

        Raises:
            ExportError: configuration and weights do not fit, or a LoRA is for another model.
        """
        from denoisert.export.sources.diffusers.preview import Preview

        merging, preview = self._merging(), Preview(self.card)
        notes = (*self._notes(), *merging.notes)
        files = self._files() | ({RECORD: write_record(merging.merged)} if self._loras else {})
        graphs = self._graphs(merging, preview)
        return Loaded(self.card, graphs, files, notes, preview.complete)

    def _graphs(self, merging: Merging, preview: Preview) -> Iterator[Graph]:
        """Every graph when it is asked for; nothing here holds the one before."""
        from denoisert.export.modules.traceable import make_traceable
        from denoisert.export.sources.diffusers.networks import build_network
        from denoisert.export.sources.module import load_component

        def build(name: str) -> nn.Module:
            network = build_network(self.folder.components[name], self._weights[name])
            merging.apply(name, network)
            return make_traceable(network)

        def traced(module: nn.Module, signature: Signature) -> Graph:
            graph = load_component(module, signature)
            preview.look(graph)
            return graph

        return starmap(traced, self._family.graphs(self._material, self.card, build))

    def _part(self, name: str, stored: Stored, is_changed: bool) -> Part:
        tensors = stored.tensors.values()
        size = FLOAT_BYTES * sum(prod(tensor.shape) for tensor in tensors)
        is_mapped = not is_changed and all(tensor.dtype == FLOAT for tensor in tensors)
        activations = activation_bytes(self.folder.components[name], self.card)
        return Part(name, size, 0 if is_mapped else size, activations)

    def _own_card(self) -> Card:
        """The card that follows from the folder; its name tells of LoRAs."""
        card = self._family.card(self._material, self._sampling)
        name = card.name if self._checkpoint is None else self._checkpoint.path.stem
        return replace(card, name=name_with(name, [file.lora for file in self._loras]))

    def _readme(self) -> Readme:
        """The folder's; the licence is not that of a file from elsewhere."""
        readme = read_readme(self.folder.root)
        return readme if self._checkpoint is None else replace(readme, licence=UNKNOWN_LICENCE)

    def _find_weights(self) -> dict[str, Stored]:
        """Component -> its weights: those of the checkpoint, else in the component's folder."""
        parts = {} if self._checkpoint is None else self._checkpoint.parts(self.folder)
        found: dict[str, Stored] = {}
        for name, part in self.folder.components.items():
            if name in parts:
                found[name] = parts[name]
            elif name not in CONFIG_NAMES:
                found[name] = Files(self._find_files(part), name)
        return found

    def _find_files(self, part: Component) -> tuple[Path, ...]:
        try:
            return find_weights(part.folder, STEMS[part.library], self.folder.root)
        except ExportError as error:
            if self._checkpoint is None:
                raise
            raise ExportError(
                f"{self._checkpoint.path.name} has no {part.name}, so it must come from "
                f"{self.folder.root.name}: {error}"
            ) from error

    def _notes(self) -> tuple[str, ...]:
        """What the user should know about the folder, its sampler and where weights come from."""
        own = () if self._checkpoint is None else self._checkpoint.notes(self.folder)
        return (*self.folder.notes, *self._sampling.notes, *own)

    def _merging(self) -> Merging:
        """All LoRAs, checked against the networks that they may change; first their weights."""
        from denoisert.export.lora.merge import Merging
        from denoisert.export.sources.diffusers.networks import check_network

        skeletons = {
            name: check_network(self.folder.components[name], stored)
            for name, stored in self._weights.items()
        }
        changed = {name: each for name, each in skeletons.items() if name != AUTOENCODER}
        return Merging(changed, self._loras)

    def _files(self) -> dict[str, bytes]:
        """Tokenizers, as the card names them."""
        tokens = self._material.tokens
        return {
            text.tokenizer: tokens[text.name].json
            for text in self.card.texts
            if text.name in tokens
        }

"""A folder as diffusers saves it -> the graphs of a bundle.

Everything that the card says comes from configurations, so the cache key needs no torch; only the
read-out for previews waits until the decoder is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from denoisert.export.fingerprint import Fingerprint
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.card import (
    build_card,
    find_sizes,
    guidance_of,
    pipeline_of,
)
from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.export.sources.diffusers.readme import read_readme
from denoisert.export.sources.diffusers.scheduler import read_scheduler
from denoisert.export.sources.diffusers.tokenizer import Tokens, read_tokenizer
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.export.sources.source import Loaded
from denoisert.runtime.bundle.card import Card

if TYPE_CHECKING:
    from denoisert.export.sources.diffusers.readout import Readout

STEMS: Final = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""Library -> how it names its weight files."""


class DiffusersFolder:
    """A model in a diffusers folder.

    Args:
        path: the folder; it has a `model_index.json`.
        card: instead of the one that follows from the folder.
        options: size and tile.

    Raises:
        ExportError: the folder is not of a kind that is compiled, or not whole.
        InvalidInput: a size or tile that does not fit.
    """

    def __init__(
        self, path: Path, card: Card | None = None, options: CompileOptions | None = None
    ) -> None:
        chosen = options or CompileOptions()
        self.folder = read_folder(path)
        parts = self.folder.components
        self._tokens = self._read_tokens()
        readme = read_readme(self.folder.root)
        scheduler = parts["scheduler"]
        self._sampling = read_scheduler(
            scheduler.class_name,
            scheduler.config,
            guidance_of(self.folder, readme),
            pipeline_of(self.folder),
        )
        sizes = find_sizes(self.folder, chosen.size, chosen.tile)
        self.card = card or build_card(self.folder, sizes, self._sampling, readme, self._tokens)
        self._weights = {
            name: find_weights(part.folder, STEMS[part.library])
            for name, part in parts.items()
            if name not in ("scheduler", "tokenizer")
        }

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in float32, taken for twice the files of half precision."""
        files = [path for paths in self._weights.values() for path in paths]
        return 2 * sum(path.stat().st_size for path in files)

    def fingerprint(self) -> str:
        """Digest of every component's configuration and weights, and of the tokenizer."""
        digest = Fingerprint()
        digest.add("pipeline", self.folder.class_name.encode())
        for name, part in sorted(self.folder.components.items()):
            digest.add(name, repr((part.class_name, sorted(part.config.items()))).encode())
            for path in self._weights.get(name, ()):
                digest.add_file(path.name, path)
        digest.add("tokens", repr(self._tokens).encode())
        return digest.hexdigest()

    def load(self) -> Loaded:
        """Build and trace every component, and estimate the read-out for previews.

        Raises:
            ExportError: configuration and weights do not fit, or torch cannot export a component.
        """
        from denoisert.export.sources.diffusers.graphs import find_readout, load_graphs

        graphs = load_graphs(self.folder, self._weights, self.card)
        notes = (*self.folder.notes, *self._sampling.notes)
        return Loaded(self._complete(find_readout(graphs, self.card)), graphs, self._files(), notes)

    def _complete(self, readout: Readout) -> Card:
        """The card with a read-out, unless it brings its own."""
        coder = self.card.autoencoder
        if coder is None or coder.readout:
            return self.card
        return replace(self.card, autoencoder=replace(coder, readout=readout))

    def _files(self) -> dict[str, bytes]:
        """Tokenizers, as the card names them."""
        if self._tokens is None:
            return {}
        return {text.tokenizer: self._tokens.json for text in self.card.texts}

    def _read_tokens(self) -> Tokens | None:
        tokenizer = self.folder.components.get("tokenizer")
        return None if tokenizer is None else read_tokenizer(tokenizer.folder)

"""A bundle as a model: its own graphs get engines for other targets, without what they came from.

Neither torch nor the model's folder is needed. The reference is the graph itself, run by ONNX
Runtime, which was compared with the model when the bundle was compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from denoisert.export.need import Part
from denoisert.export.sources.promises import components_of, promised_signature
from denoisert.export.sources.source import Component, Loaded
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.open import Bundle

OWN = ("weights/", "graphs/", "engines/")
"""Folders whose files are written anew."""


class BundleFolder:
    """A compiled bundle to compile again.

    Args:
        path: its folder.

    Raises:
        BundleError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._bundle = Bundle.open(path)

    @property
    def card(self) -> Card:
        """The bundle's."""
        return self._bundle.card

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its graphs; their weights are mapped, not copied."""
        manifest = self._bundle.manifest
        return tuple(
            Part(name, sum(manifest.files[path].size for path in graph.weights))
            for name, graph in manifest.graphs.items()
        )

    def fingerprint(self) -> str:
        """The bundle's id, which stands for every byte of it."""
        return self._bundle.id

    def load(self) -> Loaded:
        """Verify graphs and weights one after the other, as they are asked for.

        Raises:
            Tampered: a file differs from the manifest.
        """
        files = {
            path: self._bundle.verified(path).read_bytes()
            for path in self._bundle.manifest.files
            if not path.startswith(OWN)
        }
        return Loaded(self.card, self._components(), files)

    def _components(self) -> Iterator[Component]:
        for name in components_of(self._bundle):
            yield self._component(name, self._bundle.manifest.graphs[name])

    def _component(self, name: str, entry: GraphEntry) -> Component:
        for path in entry.weights:
            self._bundle.verified(path)
        text = self._bundle.verified(entry.path).read_bytes()
        evaluate = open_graph(text, self._bundle.root, entry.path)
        signature = promised_signature(self._bundle, name)
        return Component(signature, read_graph(text, self._bundle.root), evaluate)


def read_graph(text: bytes, root: Path) -> ir.Model:
    """A bundle's graph, its weights where the bundle has them.

    Args:
        text: the ONNX file.
        root: the bundle's folder.
    """
    model: ir.Model = ir.from_proto(onnx.ModelProto.FromString(text))
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value.base_dir = root
    return model

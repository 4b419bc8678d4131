"""What every target offers: it lowers a graph, stores what its engine loads, and can open it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from denoisert.runtime.bundle.manifest import GraphEntry

if TYPE_CHECKING:
    import onnx_ir as ir

    from denoisert.export.bundle import Draft
    from denoisert.export.random_inputs import Arrays


@dataclass(frozen=True, slots=True)
class Built:
    """One engine in a draft.

    Args:
        entry: what the manifest says about it.
        open: loads it; the result runs it, inputs by name -> outputs by name, and holds its
            weights until it is dropped.
    """

    entry: GraphEntry
    open: Callable[[], Callable[[Arrays], Arrays]]


class Target(Protocol):
    """A library that runs engines."""

    @property
    def version(self) -> str:
        """Of the library, as it prints itself."""
        ...

    def build(
        self, component: str, model: ir.Model, weights: tuple[str, ...], draft: Draft
    ) -> Built:
        """Write this target's engine of a graph.

        Args:
            component: what the graph is in the model.
            model: checked; large weights lie in `weights` already. It is not changed.
            weights: files of the draft.
            draft: where the engine goes.
        """
        ...

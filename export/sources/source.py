"""What every source offers: a card, a fingerprint of its bytes, and the loaded model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    import onnx_ir as ir

    from denoisert.export.graph.signature import Signature
    from denoisert.export.random_inputs import Arrays

CARD_NAME = "card.json"


@dataclass(frozen=True, slots=True)
class Component:
    """One graph of a model in memory.

    Args:
        signature: what the runtime feeds and reads.
        graph: of that signature, with "lanes" as its only free dimension.
        evaluate: the model as its author wrote it: inputs by name -> outputs by name.
        notes: what the user should know, one sentence each.
    """

    signature: Signature
    graph: ir.Model
    evaluate: Callable[[Arrays], Arrays]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory.

    Args:
        card: the source's, complete: with what only the loaded model tells.
        components: its graphs, the denoiser first.
        files: path in the bundle -> content of everything else, for example tokenizers.
        notes: what the user should know about the whole, one sentence each.
    """

    card: Card
    components: tuple[Component, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class ModelSource(Protocol):
    """A model that can be compiled."""

    @property
    def card(self) -> Card:
        """What the model means, as far as its files tell."""
        ...

    @property
    def weight_bytes(self) -> int:
        """About how much disk the weights need."""
        ...

    def fingerprint(self) -> str | None:
        """Digest of all that the graph depends on, or None where only the graph itself tells."""
        ...

    def load(self) -> Loaded:
        """Read and check the model."""
        ...


def read_card(path: Path) -> Card:
    """The card in a JSON file.

    Raises:
        InvalidInput: the file cannot be read or holds no card.
    """
    try:
        return Card.from_json(path.read_bytes(), path.name)
    except OSError as error:
        raise InvalidInput(
            f"no card can be read at {path}: {error.strerror}. docs/card.md lists its keys."
        ) from error

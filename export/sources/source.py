"""What every source offers: a card, a fingerprint of its bytes, and the loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from denoisert.export.need import Part
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
    """A model whose graphs are read one after the other.

    Args:
        card: the source's.
        components: its graphs, the denoiser first. Where it is no tuple, each is read when it is
            asked for, once; whoever lets go of one before asking for the next has the weights of
            one part in memory at a time.
        files: path in the bundle -> content of everything else, for example tokenizers.
        notes: what the user should know about the whole, one sentence each.
        complete: the card with what only the graphs tell, asked for after the last of them; None
            where they tell nothing.
    """

    card: Card
    components: Iterable[Component]
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    complete: Callable[[Card], Card] | None = None


class ModelSource(Protocol):
    """A model that can be compiled."""

    @property
    def card(self) -> Card:
        """What the model means, as far as its files tell."""
        ...

    @property
    def parts(self) -> tuple[Part, ...]:
        """What compiling it takes, by part, from headers and configurations."""
        ...

    def fingerprint(self) -> str | None:
        """Digest of all that the graph depends on, or None where only the graph itself tells."""
        ...

    def load(self) -> Loaded:
        """Check the model, and begin to read it."""
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

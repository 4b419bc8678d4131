"""The calls of a codec graph, one set for each size of tile that it takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import coder_sizes
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.engines.engine import Engine, Port
from denoisert.runtime.engines.rows import RowCalls, check_ports

Tile = tuple[int, int]


class CodecGraph(NamedTuple):
    """What the runtime feeds to a graph of the codec, and reads from it.

    Args:
        component: its name.
        takes: its one input.
        channels: of that input.
        scale: input values per latent position and axis.
        gives: its outputs.
    """

    component: str
    takes: str
    channels: int
    scale: int
    gives: Iterable[str]


def tile_calls(engine: Engine, card: Card, graph: CodecGraph) -> dict[Tile, RowCalls]:
    """Check a graph and prepare its calls at every tile that the card's layouts are cut into.

    Args:
        engine: of the graph.
        card: with an autoencoder.
        graph: what it takes and gives.

    Returns:
        (height, width) in latent positions -> calls; closing any of them closes the engine.

    Raises:
        EngineError: the graph is not the one that the card describes.
    """
    found: dict[Tile, RowCalls] = {}
    for layout in card.layouts:
        coder = Coder.of(card, layout)
        if coder.tile in found:
            continue
        view = engine.at(coder_sizes(card, layout))
        sizes = (size * graph.scale for size in coder.tile)
        takes = Port(graph.takes, "float32", ("lanes", graph.channels, *sizes))
        check_ports(view, graph.component, (takes,), graph.gives)
        found[coder.tile] = RowCalls(view, coder.lanes)
    return found
